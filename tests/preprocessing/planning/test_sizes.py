"""Delays, windows, keep rates, batches and splits, by hand."""

import numpy as np
import pytest

from configs.durations import moment_ms
from preprocessing.planning.delays import delay_curve
from preprocessing.planning.sizes import (
    TimeRange,
    batch_size,
    keep_rate,
    no_positive,
    sampled_rate,
    split_moments,
    window_for,
)

HOUR = 3_600_000
FOREVER = 10**12


def test_delays_that_could_all_be_seen_are_counted() -> None:
    delays = np.array([10, 20, 20, 40, -5])
    curve = delay_curve(delays, np.full(5, FOREVER))
    assert curve is not None
    assert (curve.events, curve.earlier) == (4, 1)
    assert curve.delays.tolist() == [10, 20, 40]
    np.testing.assert_allclose(curve.shares, [0.25, 0.75, 1.0])
    assert curve.lost(9) == 1.0
    assert curve.lost(20) == curve.lost(39) == pytest.approx(0.25)
    assert (curve.quantile(0.5), curve.quantile(0.99)) == (20, 40)


def test_delays_cut_by_the_end_of_the_log_are_made_up_for() -> None:
    """Lynden-Bell by hand. Of the four, two could not have been seen beyond 15.

    At 30: at risk are delays <= 30 with a limit >= 30, so 2 of them, and 1 is there:
    F(20) = 1/2. At 20 there is one of 2: F(10) = 1/2 * (1 - 1/2) = 1/4.
    """
    delays, limits = np.array([10, 10, 20, 30]), np.array([15, 15, 40, 40])
    curve = delay_curve(delays, limits)
    assert curve is not None
    # At 20 alone (10 and 10 could not have had it) half a row more is taken.
    np.testing.assert_allclose(curve.shares, [(1 - 1 / 1.5) / 2, 0.5, 1.0])


def test_truncation_is_undone_on_a_long_log() -> None:
    chance = np.random.default_rng(3)
    starts = chance.uniform(0, 1e6, 200_000)
    delays = chance.exponential(4e5, 200_000)
    seen = starts + delays <= 1e6
    limits = (1e6 - starts)[seen].astype(np.int64)
    found = delays[seen].astype(np.int64)
    curve = delay_curve(np.minimum(found, limits), limits)
    assert curve is not None
    whole = 1 - np.exp(-1e6 / 4e5)  # nothing is known beyond the log's length
    for window in (1e5, 3e5, 6e5):
        true = (1 - np.exp(-window / 4e5)) / whole
        assert 1 - curve.lost(int(window)) == pytest.approx(true, abs=0.02)
        naive = (found <= window).mean()
        assert abs(naive - true) > 0.03


def test_no_events_no_curve() -> None:
    assert delay_curve(np.array([], np.int64), np.array([], np.int64)) is None
    assert window_for(None, 10 * HOUR) == "30m"


def test_the_window_is_the_shortest_that_loses_little() -> None:
    delays = np.array([1_000] * 90 + [100_000] * 9 + [5 * HOUR])
    curve = delay_curve(delays, np.full(100, FOREVER))
    assert window_for(curve, 100 * HOUR) == "5m"  # loses 1%
    assert window_for(curve, 20 * 60_000) == "5m"
    assert window_for(curve, 6 * 60_000) == "1m"  # longer ones hardly close


def test_negatives_are_dropped_from_large_logs_with_few_positives() -> None:
    assert keep_rate(100_000, 0.001) == 1.0
    assert keep_rate(10_000_000, 0.2) == 1.0
    assert keep_rate(10_000_000, 0.001) == 0.02  # 0.019 and up
    assert sampled_rate(0.001, 0.02) == pytest.approx(0.001 / (0.001 + 0.02 * 0.999))
    assert sampled_rate(0.0, 0.5) == 0.0


def test_batches_hold_sixteen_positives_where_rows_allow() -> None:
    assert batch_size(0.01, 1_000_000) == 2_048  # 1,600 hold 16
    assert batch_size(0.2, 1_000_000) == 256
    assert batch_size(0.2, 40_000_000) == 16_384  # 4,000 steps or fewer
    assert batch_size(0.001, 80_000) == 2_048  # 20 steps or more
    assert no_positive(0.5, 3) == 0.125


def _range(hours: int, known: bool = True) -> TimeRange:
    start = moment_ms("2026-01-01")
    times = start + np.arange(hours * 60) * 60_000
    return TimeRange(times, int(times[0]), int(times[-1]), known)


def test_splits_end_where_days_or_hours_do() -> None:
    day = moment_ms("2026-01-01")
    assert split_moments(_range(240), 0) == (day + 8 * 24 * HOUR, day + 9 * 24 * HOUR)
    assert split_moments(_range(20), 0) == (day + 16 * HOUR, day + 18 * HOUR)
    # Rows whose window is open at the end are withheld, so all is earlier.
    assert split_moments(_range(24), 4 * HOUR) == (day + 16 * HOUR, day + 18 * HOUR)
    assert split_moments(_range(240, known=False), 0) is None
