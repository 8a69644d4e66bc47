"""The commands of the trainer."""

import argparse
import os
import sys
from collections.abc import Sequence

from configs.command import (
    add_import_argument,
    add_job_arguments,
    job_from,
    run_command,
)
from configs.errors import JobError
from configs.imports import import_modules

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status."""
    parsed = _parser().parse_args(arguments)
    # TensorFlow's start-up notes would hide our own lines.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return run_command(lambda: parsed.run(parsed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description="Trains and evaluates models."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_workers(commands)
    _add_stream(commands)
    _add_evaluate(commands)
    _add_check_devices(commands)
    _add_models(commands)
    return parser


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    train = commands.add_parser(
        "train", help="train the model of a job on its example set"
    )
    _add_training_arguments(train)
    train.set_defaults(run=_train)


def _add_workers(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    workers = commands.add_parser(
        "workers", help="train with several worker processes on this machine's CPU"
    )
    workers.add_argument("count", type=int, metavar="N", help="worker processes")
    _add_training_arguments(workers)
    workers.set_defaults(run=_workers)


def _add_stream(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    stream = commands.add_parser(
        "stream",
        help="train on example sets or Kafka messages as they come",
        description="Scores and then learns each window of rows, for ever, each row"
        " once. Goes on with the run in data.run if there is one: where the stream"
        " stood, or behind the last example set of `train`. SIGTERM or Ctrl-C ends it"
        " with a checkpoint, a second one at once.",
    )
    add_job_arguments(stream)
    stream.add_argument(
        "--overwrite", action="store_true", help="replace an existing run"
    )
    stream.add_argument(
        "--until-end",
        action="store_true",
        help="end when all that is there is learned, instead of waiting for more",
    )
    stream.set_defaults(run=_stream)


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    add_job_arguments(parser)
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint (start if there is none)",
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an existing run"
    )
    parser.add_argument(
        "--profile",
        nargs="?",
        const="10:20",
        metavar="FIRST:LAST",
        help="write a TensorBoard trace of these steps, counted from 1 where this"
        " process begins (10:20 unless given), into the run",
    )


def _add_evaluate(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    evaluate = commands.add_parser(
        "evaluate", help="score an example set with a checkpoint"
    )
    add_job_arguments(evaluate)
    evaluate.add_argument(
        "--examples", metavar="FOLDER", help="example set; data.examples unless given"
    )
    evaluate.add_argument("--split", default="test", help="default: test")
    evaluate.add_argument(
        "--checkpoint", default="best", help="best (default), last, or a step"
    )
    evaluate.add_argument(
        "--output", metavar="FILE.json", help="write the metrics here too"
    )
    evaluate.set_defaults(run=_evaluate)


def _add_check_devices(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    check = commands.add_parser(
        "check-devices",
        help="compare one device of this machine with all of them",
        description="Compares losses, gradients, weights and speed of one device with"
        " all GPUs, or with logical devices of the CPU; kills training and resumes it."
        " Ends with status 1 if anything differs.",
    )
    add_job_arguments(check, optional=True)
    check.add_argument(
        "--devices",
        type=int,
        default=2,
        metavar="N",
        help="logical CPU devices where there are not several GPUs (default: 2)",
    )
    check.add_argument(
        "--steps",
        type=int,
        default=50,
        metavar="N",
        help="steps after which weights are compared (default: 50)",
    )
    check.set_defaults(run=_check_devices)


def _add_models(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    models = commands.add_parser(
        "models",
        help="list backbones, multi-task layers, heads, losses, auxiliary tasks and"
        " optimizers",
    )
    add_import_argument(models)
    models.set_defaults(run=_models)


def _train(arguments: argparse.Namespace) -> int:
    from trainer.workers import stop_with_parent

    stop_with_parent()
    job = job_from(arguments)
    from trainer.profile import profiled_steps
    from trainer.report import metrics_table
    from trainer.train import train

    steps = arguments.profile
    result = train(
        job,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        profile=None if steps is None else profiled_steps(steps),
    )
    state = result.state
    if not result.reports:
        return 0 if result.signal is None else 128 + result.signal
    if result.signal is not None:
        print(
            f"stopped by signal {result.signal} after step {state.step:,}; a checkpoint"
            " is written, --resume goes on from there",
            file=sys.stderr,
        )
        return 128 + result.signal
    if state.validation:
        title = f"validation at step {state.evaluated:,}"
        print(metrics_table(state.validation, title=title))
    best = "" if state.best is None else f"; best after step {state.best.step:,}"
    print(f"trained {state.step:,} steps, run in {result.run}{best}")
    return 0


def _stream(arguments: argparse.Namespace) -> int:
    job = job_from(arguments)
    from trainer.report import metrics_table
    from trainer.stream.train import train_on_stream

    result = train_on_stream(
        job, overwrite=arguments.overwrite, until_end=arguments.until_end
    )
    state, stream = result.state, result.state.stream
    if stream is not None and stream.metrics:
        title = f"window {stream.window - 1:,}, before it was learned"
        print(metrics_table(stream.metrics, title=title))
    if result.signal is not None:
        where = "before the first row came"
        if stream is not None:
            where = (
                f"after step {state.step:,}; a checkpoint is written, the same command"
                " goes on from there"
            )
        print(f"stopped by signal {result.signal} {where}", file=sys.stderr)
        return 128 + result.signal
    rows = 0 if stream is None else stream.rows
    print(f"learned {rows:,} rows in {state.step:,} steps, run in {result.run}")
    return 0


def _workers(arguments: argparse.Namespace) -> int:
    job_from(arguments)  # one message if it is wrong, not one of each worker
    from trainer.workers import run_workers

    options = ["train", arguments.job]
    for override in [*arguments.overrides, "training.strategy=multi_worker"]:
        options += ["--set", override]
    options += ["--resume"] if arguments.resume else []
    options += ["--overwrite"] if arguments.overwrite else []
    options += ["--profile", arguments.profile] if arguments.profile else []
    return run_workers(arguments.count, options)


def _check_devices(arguments: argparse.Namespace) -> int:
    job = job_from(arguments) if arguments.job else None
    if job is None and arguments.overrides:
        raise JobError("--set changes a job file, and none is given: name one")
    from trainer.device_check.check import check_devices

    good = check_devices(job, devices=arguments.devices, steps=arguments.steps)
    return 0 if good else 1


def _evaluate(arguments: argparse.Namespace) -> None:
    job = job_from(arguments)
    from trainer.evaluate import evaluate
    from trainer.report import metrics_table

    report = evaluate(
        job,
        examples=arguments.examples,
        split=arguments.split,
        checkpoint=arguments.checkpoint,
        output=arguments.output,
    )
    title = (
        f"{report['split']} split of {report['examples']}, checkpoint"
        f" {report['checkpoint']} (step {report['step']:,}) of {report['run']}"
    )
    print(metrics_table(report["tasks"], title=title))


def _models(arguments: argparse.Namespace) -> None:
    import_modules(arguments.imports)
    from trainer.models import render_models

    print(render_models())
