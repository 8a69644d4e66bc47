"""The command `python -m preprocessing compare`."""

import argparse
import json
from dataclasses import asdict
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import JobError

if TYPE_CHECKING:
    from configs.drift import Drift
    from preprocessing.comparison.compare import Comparison
    from preprocessing.comparison.example_sets import ExampleSet

__all__ = ["EXIT_DRIFT", "add_compare"]

EXIT_DRIFT = 3
"""Exit status if a difference is beyond a limit that fails."""


def add_compare(commands: Any) -> None:
    """Adds the command to the subparsers of `python -m preprocessing`."""
    parser = commands.add_parser(
        "compare",
        help="compare example sets with those before them",
        description="Compares each example set with the one before it: counts, label"
        " rates, missing and new values, distributions. Limits are those of the last"
        " set's job (preprocessing.drift), unless given. Exits with"
        f" {EXIT_DRIFT} if a difference is beyond a limit that fails.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "sets",
        metavar="SET",
        nargs="+",
        help="example sets in order, or a folder of them (days), by name",
    )
    parser.add_argument("--job", help="take the limits of this job file")
    for level in ("warn", "fail"):
        parser.add_argument(
            f"--{level}",
            action="append",
            default=[],
            metavar="FIGURE=LIMIT",
            help="such as psi=0.1; figures: rows, label_rate, dead, missing,"
            " new_values, psi, jensen_shannon",
        )
    parser.add_argument("--html", metavar="FILE", help="write a page with plots too")
    parser.add_argument("--json", metavar="FILE", help="write all figures too")
    parser.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from preprocessing.comparison.compare import compare
    from preprocessing.comparison.example_sets import find_sets
    from preprocessing.comparison.page import write_page
    from preprocessing.comparison.text import report
    from preprocessing.comparison.value_names import value_names

    sets = find_sets(arguments.sets)
    drift = _limits(arguments, sets[-1])
    names = value_names(sets)
    found = [compare(a, b, drift, names) for a, b in pairwise(sets)]
    print(report(found))
    if arguments.html:
        title = f"{sets[-1].name} against {sets[0].name}"
        if len(sets) > 2:
            title = f"{sets[0].name} to {sets[-1].name}, each against the one before"
        Path(arguments.html).write_text(write_page(found, title), encoding="utf-8")
        print(f"wrote {arguments.html}")
    if arguments.json:
        records = [_record(comparison) for comparison in found]
        text = json.dumps(records, indent=1, allow_nan=False)
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
        print(f"wrote {arguments.json}")
    return EXIT_DRIFT if any(c.level == "fail" for c in found) else 0


def _record(found: "Comparison") -> dict[str, Any]:
    """Returns a comparison for JSON, which knows no infinite change (from 0)."""
    figures = [asdict(difference) for difference in found.differences]
    for figure in figures:
        figure["size"] = figure["size"] if isfinite(figure["size"]) else None
    record = {"before": found.before, "after": found.after, "level": found.level}
    return record | {"notes": found.notes, "differences": figures}


def _limits(arguments: argparse.Namespace, last: "ExampleSet") -> "Drift":
    from pydantic import ValidationError

    from configs.drift import Drift
    from configs.loading import load_job

    drift = (
        last.drift
        if arguments.job is None
        else (load_job(arguments.job).preprocessing.drift)
    )
    values = drift.model_dump()
    for level in ("warn", "fail"):
        for given in getattr(arguments, level):
            name, _, limit = given.partition("=")
            try:
                values[level][name] = float(limit)
            except ValueError:
                raise JobError(
                    f"--{level} {given}: expected FIGURE=LIMIT, such as psi=0.1"
                ) from None
    try:
        return Drift.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise JobError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from (
            error
        )
