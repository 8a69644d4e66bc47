"""Features of every kind, for the tests that follow them from logs to answers."""

import random
from pathlib import Path
from typing import Any

from configs import Job
from tests.preprocessing.making_jobs import Record, impression, small_job

__all__ = ["KINDS", "job_of_kinds", "record_of_kinds"]

KINDS = (
    "features.liked={kind: multi_valued, max_length: 3, column: likes,"
    " weights: like_weights, shares: item}",
    "features.summed={kind: multi_valued, max_length: 3, column: likes,"
    " weights: like_weights, pooling: sum, shares: item}",
    "features.hour={kind: time, part: hour, timezone: Europe/Copenhagen, dim: 3}",
    "features.day={kind: time, part: weekday, timezone: America/St_Johns}",
    "features.joined={kind: time, part: hour, timezone: UTC, column: since, unit: iso}",
    "features.met={kind: crossed, group: user, of: [device, item],"
    " embedding: {vocabulary: {min_count: 2}}}",
    "features.when={kind: crossed, of: [hour, day, user], embedding: {buckets: 50}}",
    "features.cost={kind: numeric, column: price, bucketize: {quantiles: 4}}",
    "features.old={kind: numeric, column: price, transform: standardize,"
    " missing: indicator}",
)
"""Overrides of `small_job`."""

_HOUR = 3_600_000


def job_of_kinds(root: Path, *overrides: str) -> Job:
    """Returns the small job with features of every kind."""
    return small_job(root, *KINDS, *overrides)


def record_of_kinds(chance: random.Random, number: int, time: int) -> Record:
    """Returns an impression with values, and gaps, for all of them."""
    count = chance.randrange(6)
    likes: Any = [chance.choice([None, "", "a", "b", "ü"]) for _ in range(count)]
    weights: Any = [chance.choice([None, 0, 0.25, 3]) for _ in range(count)]
    if chance.random() < 0.1:
        likes = weights = None
    values: Record = {"likes": likes, "like_weights": weights}
    values["since"] = chance.choice([None, "2021-03-28T01:00:00", "1969-12-31T23:59"])
    values["device"] = chance.choice([None, "phone", "desk"])
    values["price"] = chance.choice([None, 0.0, number / 8, -1.5])
    return impression(number, time + chance.choice([0, 1, -1, _HOUR]), **values)
