"""The commands of `python -m serving`. TensorFlow is imported by the one that runs."""

import argparse
import json
import math
import os
import sys

from configs.command import add_job_arguments, job_from, run_command
from serving.server.listener import listen
from serving.server.settings import Limits
from serving.versions import latest_version

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit status."""
    # TensorFlow's notices about drivers and instructions are no concern of a user's;
    # what fails raises an exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Export a trained model, serve it, score files with it.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_export(commands)
    _add_publish(commands)
    _add_serve(commands)
    _add_predict(commands)
    _add_describe(commands)
    options = parser.parse_args(arguments)
    return run_command(lambda: options.run(options))


def _add_export(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    parser = commands.add_parser(
        "export", help="publish a checkpoint as a version of the model"
    )
    add_job_arguments(parser)
    parser.add_argument(
        "--checkpoint",
        default="best",
        metavar="WHICH",
        help="best (default), last, a step, or the folder of a checkpoint",
    )
    parser.add_argument(
        "--version",
        type=_positive,
        metavar="N",
        help="number of the version; the next one unless given",
    )
    parser.add_argument(
        "--without-golden-rows",
        action="store_true",
        help="do not compare predictions with the trainer's (no example set needed)",
    )
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from serving.export import export_model

    exported = export_model(
        job_from(options),
        checkpoint=options.checkpoint,
        version=options.version,
        without_golden_rows=options.without_golden_rows,
    )
    golden, variables = exported.report["golden"], exported.report["variables"]
    proof = "predictions were NOT compared with the trainer's"
    if golden["rows"]:
        proof = (
            f"{golden['rows']} golden rows agree with the trainer"
            f" (largest difference {golden['largest_difference']:.2g})"
        )
    print(
        f"{exported.folder}: {variables['export']} of the training model's"
        f" {variables['training']} variables; {proof}"
    )


def _add_publish(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    parser = commands.add_parser(
        "publish",
        help="publish a run's newest checkpoint if it passes the gate; --watch: always",
    )
    add_job_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--once", action="store_true", help="the newest (default)")
    what.add_argument(
        "--watch", action="store_true", help="whenever one is due, until told to stop"
    )
    what.add_argument(
        "--rollback",
        action="store_true",
        help="withdraw the served version and pin the one before it",
    )
    what.add_argument(
        "--pin", type=_positive, metavar="N", help="serve version N and publish none"
    )
    what.add_argument("--unpin", action="store_true", help="serve the newest again")
    what.add_argument("--log", action="store_true", help="print what was decided")
    _add_publish_options(parser)
    parser.set_defaults(run=_publish)


def _add_publish_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        default="last",
        metavar="WHICH",
        help="with --once: last (default), best, or a step",
    )
    parser.add_argument(
        "--uncompared",
        action="store_true",
        help="also where the served version is of another run, so that the two cannot"
        " be compared",
    )
    parser.add_argument("--reason", default="", help="why, for the log")
    parser.add_argument(
        "--lines", type=_positive, metavar="N", help="with --log: the last N"
    )
    parser.add_argument(
        "--poll-seconds",
        type=_seconds,
        default=2.0,
        metavar="S",
        help="with --watch: between looks for a checkpoint (default: 2)",
    )


def _publish(options: argparse.Namespace) -> int | None:
    from serving import publish

    job = job_from(options)
    if options.watch:
        publish.watch(
            job, uncompared=options.uncompared, poll_seconds=options.poll_seconds
        )
    elif options.rollback:
        publish.roll_back(job, options.reason)
    elif options.pin is not None:
        publish.pin_version(job, options.pin, options.reason)
    elif options.unpin:
        publish.unpin(job, options.reason)
    elif options.log:
        publish.show_log(job, options.lines)
    else:
        return publish.publish_once(
            job, which=options.checkpoint, uncompared=options.uncompared
        )
    return None


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("serve", help="answer predict requests over REST")
    parser.add_argument(
        "models", metavar="MODELS", help="folder with the versions of one model"
    )
    parser.add_argument("--name", required=True, help="of the model, in its address")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: this machine only)",
    )
    parser.add_argument("--port", type=int, default=8501, help="default: 8501; 0: any")
    _add_limits(parser)
    parser.add_argument(
        "--poll-seconds",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="between looks for another version to serve (default: 1; 0: never)",
    )
    parser.add_argument(
        "--wait",
        action="store_true",
        help="wait for the first version if there is none yet",
    )
    parser.set_defaults(run=_serve)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    defaults = Limits()
    parser.add_argument(
        "--threads",
        type=_positive,
        default=defaults.threads,
        help="requests computed at a time (default: one per core)",
    )
    parser.add_argument(
        "--max-body-bytes",
        type=_positive,
        default=defaults.body_bytes,
        metavar="N",
        help=f"of a request (default: {defaults.body_bytes})",
    )
    parser.add_argument(
        "--max-instances",
        type=_positive,
        default=defaults.instances,
        metavar="N",
        help=f"of a request (default: {defaults.instances})",
    )
    parser.add_argument(
        "--max-pending",
        type=_positive,
        default=defaults.pending,
        metavar="N",
        help=f"requests waiting; more get 429 (default: {defaults.pending})",
    )


def _serve(options: argparse.Namespace) -> None:
    # What can go wrong at once does so before TensorFlow is loaded.
    if not options.wait:
        latest_version(options.models)
    listener = listen(options.host, options.port)
    from serving.server.run import serve

    limits = Limits(
        body_bytes=options.max_body_bytes,
        instances=options.max_instances,
        threads=options.threads,
        pending=options.max_pending,
    )
    serve(
        options.models,
        name=options.name,
        listener=listener,
        limits=limits,
        poll_seconds=options.poll_seconds,
        wait=options.wait,
    )


def _add_predict(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    parser = commands.add_parser("predict", help="score a JSONL file")
    parser.add_argument(
        "folder", metavar="VERSION", help="folder of a version, such as models/1"
    )
    parser.add_argument("rows", metavar="ROWS", help="JSONL, gzip or not")
    parser.add_argument("--output", metavar="FILE", help="default: standard output")
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="write null for rows that do not fit, instead of stopping",
    )
    parser.set_defaults(run=_predict)


def _predict(options: argparse.Namespace) -> None:
    from serving.predict import predict_file

    scored = predict_file(
        options.folder, options.rows, options.output, skip_bad=options.skip_bad
    )
    skipped = f", {scored.skipped} skipped" if scored.skipped else ""
    print(f"{scored.rows} rows scored{skipped}", file=sys.stderr)


def _add_describe(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    parser = commands.add_parser(
        "describe", help="print the form of a request, with an example"
    )
    parser.add_argument(
        "folder", metavar="VERSION", help="folder of a version, such as models/1"
    )
    parser.set_defaults(run=_describe)


def _describe(options: argparse.Namespace) -> None:
    from serving.specification import read_specification

    specification = read_specification(options.folder)
    print(f"model {specification.name}, answers {', '.join(specification.outputs)}")
    for column in specification.columns:
        aligned = column.aligned_with
        suffix = f", as long as {aligned}" if aligned not in (None, column.name) else ""
        print(f"  {column.name}: {column.describe()}{suffix}")
    body = json.dumps({"instances": [specification.example_row()]})
    quoted = body.replace("'", "'\\''")
    print(
        f"curl -d '{quoted}' \\\n"
        f"  http://127.0.0.1:8501/v1/models/{specification.name}:predict"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text!r}")
    return seconds


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text!r}")
    return number
