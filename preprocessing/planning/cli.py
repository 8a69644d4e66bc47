"""The arguments of `python -m preprocessing plan`."""

import argparse
from typing import Any

__all__ = ["add_plan"]


def add_plan(commands: Any) -> None:
    """Adds the command to the subparsers of `python -m preprocessing`."""
    parser = commands.add_parser(
        "plan",
        help="write a first job file for logs that nobody has described yet",
        description="Reads a sample of logs (impressions with labels, or impressions,"
        " clicks and conversions: files, folders or globs) and writes a job file with"
        " comments that runs as it is, and an HTML page with plots.",
        allow_abbrev=False,
    )
    parser.add_argument("logs", metavar="LOGS", nargs="+", help="files or folders")
    parser.add_argument(
        "--out", default="job.yaml", metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument(
        "--html", metavar="FILE", help="default: the job file's name with .html"
    )
    parser.add_argument("--name", help="of the job (default: that of the job file)")
    parser.add_argument(
        "--work",
        metavar="FOLDER",
        help="where the job puts examples, runs and models (default: data/NAME)",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=200_000,
        metavar="N",
        help="records of each log to read, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--format",
        choices=["jsonl", "csv", "tsv", "parquet"],
        help="of the logs, if their names do not tell",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the files if they exist"
    )
    parser.set_defaults(run=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from preprocessing.planning.command import plan_job

    planned = plan_job(
        arguments.logs,
        out=arguments.out,
        page=arguments.html or Path(arguments.out).with_suffix(".html"),
        name=arguments.name,
        work=arguments.work,
        rows=arguments.rows,
        format=arguments.format,
        overwrite=arguments.overwrite,
    )
    draft = planned.draft
    labels = ", ".join(f"{o.name} ({o.rate:.3%})" for o in draft.outcomes)
    print(f"labels: {labels}; {len(draft.proposed)} features")
    for question in planned.text.questions:
        print(f"QUESTION: {question}")
    print(f"wrote {planned.job} and {planned.page}; next:")
    print(f"  python -m preprocessing run {planned.job}")
    return 0
