"""Histograms with bins of their own, and what an example set keeps of itself."""

from pathlib import Path

import numpy as np
import pytest

from configs.distributions import bin_edges, read_distributions
from preprocessing.distributions import bins_of
from tests.preprocessing.making_jobs import random_logs, run, small_job, write_logs


def test_bins_are_eighths_of_octaves() -> None:
    # 1 = 1/2 * 2**1 begins an octave: 8 * 151 + 0 + 1.
    values = np.array([0.0, 1.0, 1.124, 1.125, 1.999, 2.0, -1.0, -2.0])
    first = 8 * 151 + 1
    expected = [0, first, first, first + 1, first + 7, first + 8, -first, -first - 8]
    assert bins_of(values).tolist() == expected
    assert bin_edges(0) == (0.0, 0.0)
    assert bin_edges(first) == (1.0, 1.125)
    assert bin_edges(first + 8) == (2.0, 2.25)
    assert bin_edges(-first) == (-1.125, -1.0)


def test_every_number_lies_in_its_bin_and_bins_rise() -> None:
    chance = np.random.default_rng(1)
    values = np.sort(
        chance.normal(size=2_000) * 10.0 ** chance.integers(-30, 30, 2_000)
    )
    values = np.float32(values[np.abs(values) > 1e-38])
    bins = bins_of(values)
    assert (np.diff(bins) >= 0).all()
    for value, number in zip(values.tolist(), bins.tolist(), strict=True):
        low, high = bin_edges(number)
        assert low <= value < high or -high <= -value <= -low
    extreme = np.array([np.float32(1e-45), np.finfo(np.float32).max])
    assert (bins_of(extreme) > 0).all()


def test_a_set_keeps_what_it_is_compared_by(tmp_path: Path) -> None:
    """Everything counted again from the logs, where each row's values are known."""
    write_logs(tmp_path, random_logs(3))
    everything = "{by: hash, validation: 0.0, test: 0.0}"
    job = small_job(tmp_path, f"preprocessing.split={everything}")
    train = run(job).splits["train"]
    found = read_distributions(job.data.examples)
    assert found is not None
    assert found.weight == train.rows
    assert found.labels == {n: float(count) for n, count in train.positives.items()}
    assert set(found.empty) == {"tags", "history"}
    # Of four impressions one has no tags, of five one has no history.
    assert found.empty["tags"] == pytest.approx(train.rows / 4, abs=6)
    assert found.empty["history"] == pytest.approx(train.rows / 5, abs=6)
    prices = found.numeric["price"]
    assert sum(prices.weights) == train.rows
    assert sum(found.numeric["history.age"].weights) > train.rows
    assert set(found.numeric["history.age"].bins) == set(
        bins_of(np.array([1.0, 2.0, 3.0, 4.0])).tolist()
    )


def test_sets_from_before_have_none(tmp_path: Path) -> None:
    assert read_distributions(tmp_path) is None
