"""Quantiles of several days out of those of each."""

from typing import Any

import numpy as np
import pytest

from configs.days import _merge_numeric
from configs.manifest import NumericStatistics


def _day(values: Any) -> NumericStatistics:
    ordered = np.sort(np.asarray(values, np.float64))
    places = np.ceil(len(ordered) * np.arange(1, 1000) / 1000).astype(int) - 1
    return NumericStatistics(
        weight=len(ordered),
        missing_weight=0.0,
        mean=0.0,
        stddev=1.0,
        log1p_mean=0.0,
        log1p_stddev=1.0,
        minimum=ordered[0],
        maximum=ordered[-1],
        quantiles=ordered[places].tolist(),
    )


def test_one_day_keeps_its_quantiles() -> None:
    day = _day(np.random.default_rng(1).normal(size=3_000))
    assert _merge_numeric([day]).quantiles == day.quantiles
    assert _merge_numeric([day, day]).quantiles == day.quantiles


def test_ranks_are_right_to_a_thousandth() -> None:
    random = np.random.default_rng(2)
    days = [random.normal(k, 1 + k, 5_000 * (k + 1)) for k in range(4)]
    days.append(np.asarray([2.0] * 9_000))
    whole = np.sort(np.concatenate(days))
    merged = _merge_numeric([_day(values) for values in days]).quantiles
    assert len(merged) == 999 and merged == sorted(merged)
    wanted = np.arange(1, 1000) / 1000
    low = np.searchsorted(whole, merged, side="left") / len(whole)
    high = np.searchsorted(whole, merged, side="right") / len(whole)
    assert (low - 0.0011 <= wanted).all() and (wanted <= high + 0.0011).all()


@pytest.mark.parametrize(
    "days", [[], [_day([1.0, 2.0]).model_copy(update={"quantiles": []})]]
)
def test_without_quantiles_there_are_none(days: list[NumericStatistics]) -> None:
    assert _merge_numeric(days).quantiles == []
