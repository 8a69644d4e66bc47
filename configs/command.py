"""What the commands of all packages share: the job argument, warnings, exit codes.

parser = argparse.ArgumentParser(...)
add_job_arguments(parser)
arguments = parser.parse_args()
sys.exit(run_command(lambda: train(job_from(arguments))))
"""

import argparse
import sys
from collections.abc import Callable

from configs.errors import EXIT_CODE, PairstreamError
from configs.imports import import_modules
from configs.job import Job
from configs.loading import load_job

__all__ = ["add_import_argument", "add_job_arguments", "job_from", "run_command"]

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells have it."""


def add_job_arguments(
    parser: argparse.ArgumentParser, *, optional: bool = False
) -> None:
    """Adds the arguments that name a job: `JOB`, `--set SECTION.KEY=VALUE`, and
    `--import MODULE`.

    Args:
        parser: of the command.
        optional: whether the command can do without a job.
    """
    parser.add_argument(
        "job",
        metavar="JOB",
        nargs="?" if optional else None,
        help="the job file (YAML)",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="replace one value of the job file, such as training.batch_size=4096;"
        " may be given several times",
    )
    add_import_argument(parser)


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--import MODULE`."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module first, for parts of your own that it registers; may be"
        " given several times",
    )


def job_from(arguments: argparse.Namespace) -> Job:
    """Reads the job that the arguments name, and prints its warnings to stderr.

    Raises:
        JobError: if the job file or an override is wrong, or a module to import is
            not there.
    """
    import_modules(arguments.imports)
    job = load_job(arguments.job, arguments.overrides)
    for warning in job.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    return job


def run_command(main: Callable[[], int | None]) -> int:
    """Runs a command and returns its exit status.

    An error that the user can mend is printed to stderr without a traceback and gives
    `EXIT_CODE`. Anything else is a defect of ours and keeps its traceback.
    """
    try:
        return main() or 0
    except PairstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
