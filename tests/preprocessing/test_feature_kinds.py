"""Every kind of feature: requests are encoded as logs are, and both as they should."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from configs import Job
from configs.features import TimeFeature
from configs.layout import FINGERPRINT_RANGE, layout_of
from configs.times import NO_TIME
from preprocessing.encode_rows import encode_rows, matrix_of
from preprocessing.encoding import encode_request
from preprocessing.fields import IMPRESSIONS, fields_by_log
from preprocessing.normalize import REASON, normalize
from preprocessing.reasons import REASONS
from preprocessing.time_parts import time_part
from serving.specification import specification_of
from serving.values import columns_of_rows, pack_columns
from tests.preprocessing.kinds import job_of_kinds, record_of_kinds

# Clocks of Copenhagen go forward at 01:00 UTC on this day, and back in October.
SPRING, AUTUMN = 1_616_893_200_000, 1_635_642_000_000


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job_of_kinds(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    chance = random.Random(4)  # noqa: S311 (a test's)
    moments = [0, -1, SPRING, AUTUMN, 2**51, -(2**51)]
    return [record_of_kinds(chance, n, chance.choice(moments)) for n in range(150)]


@pytest.fixture(scope="module")
def encoded(job: Job, records: list[dict[str, Any]]) -> pa.Table:
    return encode_rows(job, _read(job, records), Counter())


def _read(job: Job, records: list[dict[str, Any]]) -> pa.Table:
    raw = pa.Table.from_pylist(records)
    fields = fields_by_log(job)[IMPRESSIONS]
    return normalize(raw, fields, from_text=False, record_of=str)


def _fingerprint(text: str) -> int:
    return int(tf.strings.to_hash_bucket_fast([text], FINGERPRINT_RANGE)[0])


def _column(job: Job, encoded: pa.Table, name: str) -> list[int]:
    place = layout_of(job).categorical.index(name)
    values: list[int] = matrix_of(encoded["categorical"])[:, place].tolist()
    return values


def test_requests_are_encoded_like_logs(
    job: Job, records: list[dict[str, Any]], encoded: pa.Table
) -> None:
    specification = specification_of(job)
    columns, problems = columns_of_rows(specification, records, allow_extra=True)
    arrays, more = pack_columns(specification, columns)
    assert not problems and not more
    inputs = {name: tf.constant(values) for name, values in arrays.items()}
    request = tf.function(lambda columns: encode_request(columns, job))(inputs)
    assert {"multi_valued/liked/weights", "categorical"} < set(request)
    for key, tensor in request.items():
        if pa.types.is_fixed_size_list(encoded[key].type):
            np.testing.assert_array_equal(tensor.numpy(), matrix_of(encoded[key]), key)
            continue
        for row, wanted in zip(tensor.numpy(), encoded[key].to_pylist(), strict=True):
            np.testing.assert_array_equal(row[: len(wanted)], wanted, key)
            assert all(v != v or v in (-1, 0) for v in row[len(wanted) :].tolist())


def test_weights_follow_their_values(
    job: Job, records: list[dict[str, Any]], encoded: pa.Table
) -> None:
    found = zip(
        encoded["multi_valued/liked"].to_pylist(),
        encoded["multi_valued/liked/weights"].to_pylist(),
        strict=True,
    )
    for record, (values, weights) in zip(records, found, strict=True):
        pairs = zip(record["likes"] or [], record["like_weights"] or [], strict=True)
        kept = [(v, 1.0 if w is None else w) for v, w in pairs if v][:3]
        assert values == [_fingerprint(value) for value, _ in kept]
        assert weights == [weight for _, weight in kept]


def test_crossed_values_are_hashed_together(
    job: Job, records: list[dict[str, Any]], encoded: pa.Table
) -> None:
    texts = [f"{r['device'] or ''}\x1f{r['item']}" for r in records]
    assert _column(job, encoded, "met") == [_fingerprint(text) for text in texts]
    hours, days = (_column(job, encoded, name) for name in ("hour", "day"))
    texts = [
        f"{hour}\x1f{day}\x1f{record['user']}"
        for hour, day, record in zip(hours, days, records, strict=True)
    ]
    assert _column(job, encoded, "when") == [_fingerprint(text) for text in texts]


def test_missing_times_have_a_number_of_their_own(
    job: Job, records: list[dict[str, Any]], encoded: pa.Table
) -> None:
    hours = {None: 0, "2021-03-28T01:00:00": 2, "1969-12-31T23:59": 24}
    expected = [hours[record["since"]] for record in records]
    assert _column(job, encoded, "joined") == expected


@pytest.mark.parametrize(
    "zone",
    [
        *("UTC", "Europe/Copenhagen", "America/St_Johns", "Asia/Kolkata"),
        *("Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia"),
    ],
)
def test_hours_and_weekdays_are_those_of_the_clocks_there(zone: str) -> None:
    random_times = np.random.default_rng(1).integers(-6e11, 4.1e12, 2_000)
    steps = np.arange(-3, 4) * 1_799_999
    known = [SPRING, AUTUMN, 1_325_239_200_000, 1_617_492_600_000]
    edges = np.asarray(known)[:, np.newaxis] + steps
    times = [*random_times.tolist(), *edges.reshape(-1).tolist()]
    start = datetime(1970, 1, 1, tzinfo=UTC)
    local = [
        (start + timedelta(milliseconds=t)).astimezone(ZoneInfo(zone)) for t in times
    ]
    for part, expected in (
        ("hour", [moment.hour + 1 for moment in local]),
        ("weekday", [moment.isoweekday() for moment in local]),
    ):
        feature = TimeFeature.model_validate(
            {"kind": "time", "part": part, "timezone": zone}
        )
        values = tf.constant([*times, NO_TIME], tf.int64)
        assert time_part(values, feature).numpy().tolist() == [*expected, 0]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"like_weights": [1.0], "likes": ["a", "b"]}, "unaligned"),
        ({"like_weights": [-1.0], "likes": ["a"]}, "negative"),
        ({"since": "yesterday"}, "invalid_time"),
    ],
)
def test_bad_values_make_dead_letters_and_refused_requests(
    job: Job, records: list[dict[str, Any]], values: dict[str, Any], reason: str
) -> None:
    bad = [records[0], records[1] | values]
    assert _read(job, bad)[REASON].to_pylist() == [0, REASONS.index(reason)]
    specification = specification_of(job)
    columns, _ = columns_of_rows(specification, bad, allow_extra=True)
    _, problems = pack_columns(specification, columns)
    (problem,) = problems
    assert problem.row == 1 and problem.feature in values
