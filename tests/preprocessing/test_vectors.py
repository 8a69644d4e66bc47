"""Whole columns are converted exactly as single values are."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from configs.canonical import canonical_text
from preprocessing import vectors
from preprocessing.fields import Field
from preprocessing.values import field_value, time_ms

TEXTS = ["", "7", "07", "+7", "-0", "-7", "0x1F", " 7", "7.0", "é", "1e3", "٣", "00"]
TEXTS += [str(2**63 - 1), str(-(2**63)), str(2**63), "9" * 30, "a|b", "nan"]

COLUMNS = [
    pa.array([*TEXTS, None]),
    pa.array([*TEXTS, None], pa.large_string()),
    pa.array([*TEXTS, None]).dictionary_encode(),
    pa.array([0, 7, -7, 2**63 - 1, -(2**63), None]),
    pa.array([0, 2**63 - 1, 2**63, None], pa.uint64()),
    pa.array([7, None], pa.int8()),
    pa.array(
        [0.0, -0.0, 7.0, 7.5, 1e18, 2.0**63, -(2.0**63), math.nan, math.inf, None]
    ),
    pa.array([True, None]),
    pa.array([None, None]),
]


@pytest.mark.parametrize("declared", ["string", "int64"])
@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.type))
def test_texts_equal_canonical_text(column: pa.Array, declared: Any) -> None:
    found, bad = vectors.texts(column, declared)
    for row, value in enumerate(column.to_pylist()):
        try:
            expected, fails = canonical_text(value, declared), False
        except ValueError:
            expected, fails = "", True
        assert (bad is not None and bool(bad[row])) is fails, value
        if not fails:
            assert found[row].as_py() == expected


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, -5, 1507000000, 2**60, None]),
        pa.array([1.5, -1.5, 1507000000.75, math.nan, math.inf, None]),
        pa.array(["1507000000", "1507000000.75", "-3", "x", "", " 1", None]),
        pa.array([True, False]),
    ],
    ids=lambda c: str(c.type),
)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_equal_single_times(column: pa.Array, unit: Any) -> None:
    found, bad = vectors.times(column, unit)
    for row, value in enumerate(column.to_pylist()):
        try:
            expected, fails = time_ms(value, unit), False
        except ValueError:
            expected, fails = 0, True
        assert (bad is not None and bool(bad[row])) is fails, value
        if not fails:
            assert found[row] == expected


def test_iso_times_and_timestamps() -> None:
    texts = ["2017-10-10", "2017-10-10T12:00:00", "2017-10-10 12:00:00.123456"]
    offsets = ["2017-10-10T12:00:00Z", "2017-10-10T12:00:00+02:00"]
    noon = int(datetime(2017, 10, 10, 12, tzinfo=UTC).timestamp() * 1000)
    midnight = noon - 12 * 3_600_000
    expected = [midnight, noon, noon + 123, noon, noon - 2 * 3_600_000]
    found, bad = vectors.times(pa.array(texts + offsets), "iso")
    assert bad is None and found.tolist() == expected
    plain, bad = vectors.times(pa.array(texts), "iso")
    assert bad is None and plain.tolist() == expected[:3]
    _, bad = vectors.times(pa.array(["yesterday", "2017-13-01", "2017-10-10"]), "iso")
    assert bad.tolist() == [True, True, False]
    stamps = pa.array([noon * 1000 + 999], pa.timestamp("us"))
    assert vectors.times(stamps, "s")[0].tolist() == [noon]


def test_numbers_of_text_do_not_depend_on_their_neighbors() -> None:
    values = ["1", "-2.5", "1e3", ".5", "5.", "+7", "inf", "-inf", "nan", "", "1e400"]
    values += ["x", "0x10", "1_0", " 1", "--1", "1e"]
    together, bad_together = vectors.numbers(pa.array(values), from_text=True)
    for row, value in enumerate(values):
        alone, bad = vectors.numbers(pa.array([value]), from_text=True)
        assert np.array_equal(alone, together[row : row + 1], equal_nan=True), value
        assert (bad is not None) == bool(bad_together[row]), value
    assert together[:6].tolist() == [1, -2.5, 1000, 0.5, 5, 7]


def test_numbers_in_json_are_no_text() -> None:
    found, bad = vectors.numbers(pa.array(["1", None]), from_text=False)
    assert bad.tolist() == [True, False] and np.isnan(found).all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["0", "1", "true", "False", "yes", "", None]),
        pa.array([0, 1, 2, None]),
        pa.array([0.0, 1.0, 0.5, math.nan, None]),
        pa.array([True, False, None]),
    ],
    ids=lambda c: str(c.type),
)
def test_labels_equal_single_labels(column: pa.Array) -> None:
    field = Field(name="label", column="label", kind="label")
    found, bad = vectors.labels(column)
    for row, value in enumerate(column.to_pylist()):
        try:
            expected, fails = field_value(field, value), False
        except ValueError:
            expected, fails = 0, True
        assert (bad is not None and bool(bad[row])) is fails, value
        if not fails:
            assert found[row] == expected
