"""The commands of `python -m preprocessing`."""

import argparse
import logging
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from configs.command import add_job_arguments, job_from, run_command
from configs.days import days_in, local_sets, merge_manifests, parse_days
from configs.errors import DataError

__all__ = ["main"]

_RUNNER = "FnApiRunner"  # as preprocessing.run says, which takes seconds to import


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command != "run":
        parser.error(f"unknown arguments: {' '.join(rest)}")
    arguments.beam_arguments = rest
    # TensorFlow's start-up notes are no concern of whoever preprocesses logs.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)  # and so with Beam's
    # Logs the traceback of every error in a stage, which reaches us all the same.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    return run_command(lambda: _guarded(arguments))


def _guarded(arguments: argparse.Namespace) -> int | None:
    """Runs a command; a full disk or a forbidden folder is no defect of ours."""
    try:
        status: int | None = arguments.run(arguments)
    except OSError as error:
        raise DataError(
            f"a file or folder cannot be read or written: {error}. Check that it may,"
            " and that there is room; earlier outputs are untouched"
        ) from error
    return status


def _parser() -> argparse.ArgumentParser:
    from preprocessing.comparison.cli import add_compare
    from preprocessing.datasets.cli import add_commands
    from preprocessing.planning.cli import add_plan
    from preprocessing.replay.cli import add_replay
    from preprocessing.stream.cli import add_stream

    parser = argparse.ArgumentParser(
        prog="python -m preprocessing",
        description="Turns logs into example sets, and public data sets into logs.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    add_stream(commands)
    _add_check(commands)
    _add_check_histories(commands)
    add_plan(commands)
    add_compare(commands)
    add_replay(commands)
    add_commands(commands)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "run",
        help="make the example set of a job from its logs",
        epilog="Other options go to Beam, such as --direct_num_workers=2.",
        allow_abbrev=False,
    )
    add_job_arguments(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing example set"
    )
    days = parser.add_mutually_exclusive_group()
    days.add_argument(
        "--days",
        metavar="FIRST..LAST",
        help="make the example sets of days one after the other, such as"
        " 2017-10-01..2017-10-10 or 2017-10-01, each of its own logs and of what the"
        " day before left",
    )
    days.add_argument(
        "--next-day",
        action="store_true",
        help="make the example set of the day after the last one",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="compare each day with the one before, and stop with status 3 where a"
        " difference is beyond preprocessing.drift.fail",
    )
    parser.add_argument(
        "--runner",
        default=_RUNNER,
        help="Beam runner (default: %(default)s, which is local)",
    )
    parser.add_argument(
        "--block-mebibytes",
        type=_positive,
        default=16,
        metavar="N",
        help="size of the blocks that logs are cut into (default: %(default)s)",
    )
    parser.set_defaults(run=_run)


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "check", help="verify sizes, checksums and record counts of an example set"
    )
    parser.add_argument(
        "examples", metavar="EXAMPLES", help="folder of the example set, or of days"
    )
    parser.set_defaults(run=_check)


def _add_check_histories(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    parser = commands.add_parser(
        "check-histories",
        help="compare a sequence that was logged with one that is built of events",
    )
    add_job_arguments(parser)
    parser.add_argument("--feature", help="the sequence; the only one unless given")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="LOG",
        help="the event log to build it of, where the job has 'from: log'",
    )
    parser.add_argument("--gap", default="0s", help="the same (default: %(default)s)")
    parser.add_argument(
        "--unit",
        default="h",
        choices=["ms", "s", "m", "h", "d"],
        help="of the ages that were logged, the same (default: %(default)s)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="numbers are equal up to this, absolute and relative (%(default)s)",
    )
    parser.set_defaults(run=_check_histories)


def _check_histories(arguments: argparse.Namespace) -> int:
    job = job_from(arguments)
    from preprocessing.check_histories import check_histories

    print(
        check_histories(
            job,
            arguments.feature,
            source=arguments.source,
            gap=arguments.gap,
            unit=arguments.unit,
            tolerance=arguments.tolerance,
        )
    )
    return 0


def _run(arguments: argparse.Namespace) -> int:
    job = job_from(arguments)
    from preprocessing.daily import day_after_last
    from preprocessing.report import report
    from preprocessing.run import preprocess

    days: list[date | None] = [None]
    if arguments.days is not None:
        days = [*days_in(*parse_days(arguments.days))]
    elif arguments.next_day:
        days = [day_after_last(job)]
    for day in days:
        manifest = preprocess(
            job,
            overwrite=arguments.overwrite,
            runner=arguments.runner,
            beam_arguments=arguments.beam_arguments,
            block_bytes=arguments.block_mebibytes << 20,
            day=day,
        )
        print(report(manifest))
        print(f"wrote {job.data.examples}{'' if day is None else f'/{day}'}")
        if arguments.compare and day is not None:
            from preprocessing.comparison.days import compare_with_day_before

            status = compare_with_day_before(job, day)
            if status:
                return status
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from preprocessing.check import check_examples

    manifests = {}
    for folder in local_sets(arguments.examples):
        manifests[Path(folder).name] = manifest = check_examples(folder)
        rows = sum(split.rows for split in manifest.splits.values())
        print(f"{folder} is whole: {rows:,} examples")
    merge_manifests(manifests, arguments.examples)  # raises if they do not fit
    return 0


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(
            f"expected a whole number above 0, got {text!r}"
        )
    return value
