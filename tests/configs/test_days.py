"""Days in paths and ranges, and statistics of several days as one."""

from datetime import date

import numpy as np
import pytest

from configs.days import (
    choose_days,
    day_bounds,
    has_day,
    merge_statistics,
    parse_days,
    path_of_day,
)
from configs.errors import DataError, JobError
from configs.manifest import NumericStatistics, Statistics

DAY = date(2026, 1, 1)


def statistics(values: np.ndarray) -> Statistics:
    log = np.sign(values) * np.log1p(np.abs(values))
    return Statistics(
        numeric={
            "x": NumericStatistics(
                weight=len(values),
                missing_weight=2.0,
                mean=values.mean(),
                stddev=values.std(),
                log1p_mean=log.mean(),
                log1p_stddev=log.std(),
                minimum=values.min(),
                maximum=values.max(),
                quantiles=np.quantile(values, np.arange(1, 1000) / 1000).tolist(),
            )
        }
    )


def test_statistics_of_days_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    parts = [rng.normal(loc, 2.0, size) for loc, size in ((0, 2000), (3, 500), (9, 50))]
    found = merge_statistics([statistics(part) for part in parts]).numeric["x"]
    whole = np.concatenate(parts)
    expected = statistics(whole).numeric["x"]
    for name in ("weight", "mean", "stddev", "log1p_mean", "log1p_stddev", "maximum"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))
    assert found.missing_weight == 6
    ranks = [(whole <= value).mean() for value in found.quantiles]
    np.testing.assert_allclose(ranks, np.arange(1, 1000) / 1000, atol=0.003)
    empty = Statistics(numeric={})  # a day without training rows
    merged = merge_statistics([empty, statistics(parts[0]), empty]).numeric["x"]
    assert merged.mean == pytest.approx(parts[0].mean())
    assert merged.quantiles == statistics(parts[0]).numeric["x"].quantiles


def test_days_in_paths_and_ranges():
    assert path_of_day("a/{day}/b-{day:%Y%m%d}.x", DAY) == "a/2026-01-01/b-20260101.x"
    assert path_of_day("a/{day}/b.x", None) == "a/*/b.x"
    assert has_day("{day:%d}") and not has_day("a/{other}")
    assert day_bounds(DAY) == (1_767_225_600_000, 1_767_312_000_000)
    assert parse_days("2026-01-01") == (DAY, DAY)
    assert parse_days("2026-01-01..2026-02-01") == (DAY, date(2026, 2, 1))
    for text in ("2026-1-1", "2026-02-30", "2026-01-02..2026-01-01", "", ".."):
        with pytest.raises(JobError, match="no range of days"):
            parse_days(text)


def test_days_that_are_wanted_must_be_there():
    names = ["2026-01-03", "other", "2026-01-01", ".2026-01-02.partial-7"]
    assert choose_days(names, None, "x") == ["2026-01-01", "2026-01-03"]
    assert choose_days(names, "2026-01-03", "x") == ["2026-01-03"]
    with pytest.raises(DataError, match="no example set of 2026-01-02"):
        choose_days(names, "2026-01-01..2026-01-03", "x")
