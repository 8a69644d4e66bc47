"""Daily runs: where a day goes on from, and which day comes next."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from configs.contract import data_contract
from configs.data import LogFiles
from configs.days import day_bounds, day_of_name, has_day
from configs.durations import duration_ms
from configs.errors import DataError, JobError
from configs.job import Job
from configs.manifest import MANIFEST_FILE
from preprocessing.carry_over import CARRY_OVER, read_carry_over
from preprocessing.day import Day
from preprocessing.row_numbers import numbered

__all__ = [
    "carried_contract",
    "check_daily",
    "day_after_last",
    "days_of",
    "remove_old_carry_overs",
    "start_day",
]


def days_of(root: Path) -> dict[date, Path]:
    """Returns the folders of the example sets of days, in order."""
    found = {}
    for path in root.glob(f"*/{MANIFEST_FILE}"):
        day = day_of_name(path.parent.name)
        if day is not None:
            found[day] = path.parent
    return dict(sorted(found.items()))


def day_after_last(job: Job) -> date:
    """Returns the day after the last one that has an example set.

    Raises:
        DataError: if there is none.
    """
    days = days_of(Path(job.data.examples))
    if not days:
        raise DataError(
            f"{job.data.examples} holds no day yet, so none comes next: name the first"
            " one, --days 2017-10-01"
        )
    return max(days) + timedelta(days=1)


def check_daily(job: Job, fields: dict[str, list[Any]]) -> None:
    """Checks that the logs can be read day by day.

    Args:
        job: of the run.
        fields: of every log.

    Raises:
        JobError: if a log has no files of its own for a day, or no ids of its own.
        DataError: if `data.examples` is an example set, and no folder for days.
    """
    for place, files in _logs(job):
        if not has_day(files.path):
            raise JobError(
                f"{place}.path is {files.path!r}: a daily run reads the files of one"
                " day; write {day} in the path where they have the day (2017-10-01; or"
                " {day:%Y%m%d} where they have 20171001)"
            )
    root = Path(job.data.examples)
    if (root / MANIFEST_FILE).exists():
        raise DataError(
            f"{root} is an example set of its own, expected a folder for those of days:"
            " name another one in data.examples"
        )
    for log, columns in fields.items():
        if numbered(columns) and not log.startswith("tables."):
            raise JobError(
                f"{log} has the numbers of its records for ids or times, and they begin"
                " anew every day: daily runs need columns of the log"
            )


def start_day(job: Job, day: date, root: Path, folder: Path) -> Day:
    """Returns what a run of a day goes on from.

    Args:
        job: of the run.
        day: to be made.
        root: folder of the days.
        folder: in which the day is being made.

    Raises:
        DataError: if there are earlier days, but not the day before; or its carry-over
            is absent, damaged, or of another job.
    """
    days = days_of(root)
    before = day - timedelta(days=1)
    carried = days.get(before)
    earlier = [other for other in days if other < day]
    if carried is None and earlier:
        raise DataError(
            f"{root} has no {before}, expected it since it has {max(earlier)}: days are"
            f" made one after the other. Say --days"
            f" {max(earlier) + timedelta(days=1)}..{day}"
        )
    digest = None
    if carried is not None:
        carried = carried / CARRY_OVER
        digest = read_carry_over(carried, carried_contract(job))
    daily = job.preprocessing.daily
    return Day(
        name=day.isoformat(),
        closing=day_bounds(day)[1] - 1 - duration_ms(daily.lateness),
        memory=duration_ms(daily.memory),
        carried=None if carried is None else str(carried),
        digest=digest,
        carries=str(folder / CARRY_OVER),
    )


def carried_contract(job: Job) -> dict[str, Any]:
    """Returns what one day and the next must have in common."""
    return {
        "data contract": data_contract(job),
        "preprocessing.buckets": job.preprocessing.buckets,
        "adjacent id": job.adjacent,
        "preprocessing.daily.lateness": job.preprocessing.daily.lateness,
    }


def remove_old_carry_overs(job: Job, root: Path) -> None:
    """Removes the carry-overs of all but the last days."""
    days = list(days_of(root).values())
    for folder in days[: -job.preprocessing.daily.keep_carry_overs]:
        shutil.rmtree(folder / CARRY_OVER, ignore_errors=True)


def _logs(job: Job) -> Iterator[tuple[str, LogFiles]]:
    yield "data.impressions", job.data.impressions
    for label, events in job.data.events.items():
        yield f"data.events.{label}", events
    for name, behaviours in job.data.behaviours.items():
        yield f"data.behaviours.{name}", behaviours
