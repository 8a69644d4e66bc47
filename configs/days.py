"""Days of logs and of example sets: `{day}` in paths, ranges, sets read as one.

A daily run publishes the example set of a day as `<data.examples>/2017-10-01`. The
trainer reads a folder of such days, or of a stream's sets, like one example set.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

from configs.durations import DAY_MS
from configs.errors import DataError, JobError
from configs.manifest import (
    MANIFEST_FILE,
    ExampleSplit,
    Manifest,
    NumericStatistics,
    Shard,
    Statistics,
)
from configs.stream_sets import number_of_set

__all__ = [
    "choose_days",
    "day_bounds",
    "day_of_name",
    "days_in",
    "has_day",
    "local_sets",
    "merge_manifests",
    "merge_statistics",
    "parse_days",
    "path_of_day",
]

_PLACEHOLDER = re.compile(r"\{day(?::([^{}]*))?\}")


def has_day(path: str) -> bool:
    """Returns whether a path holds the placeholder `{day}`."""
    return _PLACEHOLDER.search(path) is not None


def path_of_day(path: str, day: date | None) -> str:
    """Returns a path or glob with `{day}` filled in: a day as 2017-10-01, or in the
    form that follows a colon (`{day:%Y%m%d}`); any day (`*`) if there is none."""
    if day is None:
        return _PLACEHOLDER.sub("*", path)
    return _PLACEHOLDER.sub(lambda found: day.strftime(found[1] or "%Y-%m-%d"), path)


def day_of_name(name: str) -> date | None:
    """Returns the day that a folder is named after, None if it is another."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", name):
        return None
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def day_bounds(day: date) -> tuple[int, int]:
    """Returns the first moment of a UTC day and of the next one, in milliseconds."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first = round(start.timestamp()) * 1_000
    return first, first + DAY_MS


def parse_days(text: str) -> tuple[date, date]:
    """Reads `2017-10-01..2017-10-10` (both included), or a single day.

    Raises:
        JobError: if it is neither.
    """
    first, dots, last = text.partition("..")
    found = day_of_name(first), day_of_name(last if dots else first)
    if found[0] is None or found[1] is None or found[0] > found[1]:
        raise JobError(
            f"{text!r} is no range of days: expected 2017-10-01..2017-10-10 (the first"
            " and the last one, both included), or a single day"
        )
    return found[0], found[1]


def days_in(first: date, last: date) -> list[date]:
    """Returns the days from `first` to `last`, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def choose_days(names: Iterable[str], days: str | None, folder: str) -> list[str]:
    """Returns the names that are days, in order, and of these the ones wanted; where
    there are no days, and none are wanted, the names of a stream's sets.

    Args:
        names: of what lies in a folder.
        days: a range that `parse_days` reads, None for all.
        folder: named in messages.

    Raises:
        DataError: if a day of the range is absent.
    """
    names = list(names)
    found = sorted(name for name in names if day_of_name(name) is not None)
    if days is None:
        numbered = [name for name in names if number_of_set(name) is not None]
        return found or sorted(numbered)
    wanted = [day.isoformat() for day in days_in(*parse_days(days))]
    absent = sorted(set(wanted) - set(found))
    if absent:
        raise DataError(
            f"{folder} has no example set of {', '.join(absent[:5])}, which data.days"
            f" ({days}) asks for. It has {', '.join(found) or 'no days at all'}. Run"
            " `python -m preprocessing run JOB --days ...` first, or choose others"
        )
    return wanted


def local_sets(folder: str, days: str | None = None) -> list[str]:
    """Returns the folders of the example sets that a local folder stands for: itself,
    or those of its days or of a stream.

    Raises:
        DataError: if a day of the range is absent.
    """
    root = Path(folder)
    if days is None and (root / MANIFEST_FILE).exists():
        return [folder]
    names = [path.parent.name for path in root.glob(f"*/{MANIFEST_FILE}")]
    return [f"{folder}/{name}" for name in choose_days(names, days, folder)] or [folder]


def merge_manifests(manifests: Mapping[str, Manifest], folder: str) -> Manifest:
    """Returns the manifest of several days' example sets, read as one.

    Args:
        manifests: by name of the day's folder, in order.
        folder: that holds them, named in messages.

    Raises:
        DataError: if the sets do not belong together: another contract or order of
            rows, or a day that does not go on where the one before it ended.
    """
    names = list(manifests)
    first = manifests[names[0]]
    for name, before in zip(names[1:], names, strict=False):
        found = manifests[name]
        if (found.fingerprint, found.adjacent) != (first.fingerprint, first.adjacent):
            raise DataError(
                f"{folder}: the example sets {names[0]} and {name} were made with"
                " different jobs (features, labels, ids, sampling or the id that is"
                " adjacent differ). Make the older days again with the new job, or"
                " choose days of one job with data.days"
            )
        if _is_next(before, name) and found.continues != manifests[before].carry_over:
            raise DataError(
                f"{folder}: {name} does not go on where {before} ended, which was made"
                f" again since: rows may be twice in them, or in none. Make {name}"
                f" again too (of days: `python -m preprocessing run JOB --days {name}"
                f" --overwrite`)"
            )
    return Manifest(
        job=first.job,
        fingerprint=first.fingerprint,
        contract=first.contract,
        splits=_merge_splits(manifests),
        counters=_sums(m.counters for m in manifests.values()),
        dead_letters=_sums(m.dead_letters for m in manifests.values()),
        golden_rows=manifests[names[-1]].golden_rows,
        adjacent=first.adjacent,
    )


def merge_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Returns the statistics of several days as those of one set (Chan, Golub, LeVeque
    1979), up to rounding; quantiles up to a thousandth of the weight for each day."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part.numeric)
    return Statistics(
        numeric={
            name: _merge_numeric([p.numeric[name] for p in parts if name in p.numeric])
            for name in names
        }
    )


def _is_next(name: str, other: str) -> bool:
    number, following = number_of_set(name), number_of_set(other)
    if number is not None:
        return following == number + 1
    first, second = day_of_name(name), day_of_name(other)
    return first is not None and second == first + timedelta(days=1)


def _merge_splits(manifests: Mapping[str, Manifest]) -> dict[str, ExampleSplit]:
    splits: dict[str, ExampleSplit] = {}
    for split in dict.fromkeys(s for m in manifests.values() for s in m.splits):
        parts = {
            name: manifest.splits[split]
            for name, manifest in manifests.items()
            if split in manifest.splits
        }
        times = [(p.first_time, p.last_time) for p in parts.values()]
        splits[split] = ExampleSplit(
            rows=sum(part.rows for part in parts.values()),
            positives=_sums(part.positives for part in parts.values()),
            first_time=min((t for t, _ in times if t is not None), default=None),
            last_time=max((t for _, t in times if t is not None), default=None),
            sampled=any(part.sampled for part in parts.values()),
            dropped=sum(part.dropped for part in parts.values()),
            shards=[
                Shard(**shard.model_dump() | {"path": f"{name}/{shard.path}"})
                for name, part in parts.items()
                for shard in part.shards
            ],
        )
    return splits


def _sums(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _merge_numeric(parts: Sequence[NumericStatistics]) -> NumericStatistics:
    filled = [part for part in parts if part.weight > 0]
    weight = math.fsum(part.weight for part in filled)
    merged: dict[str, Any] = {
        "weight": weight,
        "missing_weight": math.fsum(part.missing_weight for part in parts),
        "minimum": min((part.minimum for part in filled), default=0.0),
        "maximum": max((part.maximum for part in filled), default=0.0),
        "quantiles": _merge_quantiles(filled),
    }
    for kind in ("", "log1p_"):
        means = [(part.weight, getattr(part, f"{kind}mean")) for part in filled]
        mean = math.fsum(w * m for w, m in means) / weight if weight else 0.0
        spread = math.fsum(
            part.weight * (getattr(part, f"{kind}stddev") ** 2 + (found - mean) ** 2)
            for part, (_, found) in zip(filled, means, strict=True)
        )
        merged[f"{kind}mean"] = mean
        merged[f"{kind}stddev"] = math.sqrt(spread / weight) if weight else 0.0
    return NumericStatistics(**merged)


def _merge_quantiles(parts: Sequence[NumericStatistics]) -> list[float]:
    """Returns the quantiles of all days: each quantile of a day stands for an equal
    part of its weight."""
    if not parts or not all(part.quantiles for part in parts):
        return []
    points = sorted(
        (value, part.weight / len(part.quantiles))
        for part in parts
        for value in part.quantiles
    )
    running = list(accumulate(weight for _, weight in points))
    steps = len(parts[0].quantiles) + 1
    wanted = (running[-1] * k / steps * (1 - 1e-12) for k in range(1, steps))
    return [points[bisect_left(running, weight)][0] for weight in wanted]
