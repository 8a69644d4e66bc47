"""Compares the day that was just made with the one before it."""

from datetime import date, timedelta
from pathlib import Path

from configs.job import Job
from configs.manifest import MANIFEST_FILE
from preprocessing.comparison.cli import EXIT_DRIFT
from preprocessing.comparison.compare import compare
from preprocessing.comparison.example_sets import ExampleSet
from preprocessing.comparison.text import report
from preprocessing.comparison.value_names import value_names

__all__ = ["compare_with_day_before"]


def compare_with_day_before(job: Job, day: date) -> int:
    """Prints what changed, and returns the exit status: `EXIT_DRIFT` if a difference is
    beyond a limit of the job that fails, else 0."""
    folder = Path(job.data.examples)
    days = [folder / str(day - timedelta(days=1)), folder / str(day)]
    if not (days[0] / MANIFEST_FILE).is_file():
        print(f"there is no {days[0]} to compare {days[1].name} with")
        return 0
    sets = [ExampleSet.read(path) for path in days]
    before, after = sets
    found = compare(before, after, job.preprocessing.drift, value_names(sets))
    print(report([found]))
    return EXIT_DRIFT if found.level == "fail" else 0
