"""`python -m preprocessing stream`."""

import argparse

from configs.command import add_job_arguments, job_from

__all__ = ["add_stream"]


def add_stream(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "stream",
        help="join labels to impressions as they come, set after set",
        description="Joins what arrives in the logs in micro-batches, and publishes"
        " each as a set in data.examples. A run that was killed goes on where it was,"
        " and nothing is lost or given twice. SIGTERM ends it after the micro-batch in"
        " the making.",
    )
    add_job_arguments(parser)
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--once", action="store_true", help="make one micro-batch")
    ends.add_argument(
        "--until-idle",
        action="store_true",
        help="end when all that has arrived is read",
    )
    parser.set_defaults(run=_stream)


def _stream(arguments: argparse.Namespace) -> int:
    job = job_from(arguments)
    from preprocessing.stream.run import run_stream

    made = run_stream(job, once=arguments.once, until_idle=arguments.until_idle)
    print(f"made {made:,} sets in {job.data.examples}")
    return 0
