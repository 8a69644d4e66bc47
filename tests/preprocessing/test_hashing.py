"""Salted hashes: even, independent, and frozen (a change would resample every set)."""

import numpy as np

from preprocessing.hashing import mix, salted, unit_interval

IDS = np.arange(100_000, dtype=np.int64)


def test_mix_is_splitmix64() -> None:
    # First outputs of SplitMix64 seeded with 0, as published with the generator.
    step = 0x9E3779B97F4A7C15
    states = np.array([0, step], np.uint64)
    assert [int(v) for v in mix(states)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_shares_are_even_and_independent() -> None:
    sampling = unit_interval(salted(IDS, "sampling")) < 0.1
    split = unit_interval(salted(IDS, "split")) < 0.1
    other_seed = unit_interval(salted(IDS, "sampling", 1)) < 0.1
    error = 5 * np.sqrt(0.1 * 0.9 / len(IDS))
    assert abs(sampling.mean() - 0.1) < error
    for other in (split, other_seed):
        assert abs((sampling & other).mean() - 0.01) < error


def test_the_unit_interval_stays_below_1() -> None:
    extremes = np.array([0, 2**64 - 1], np.uint64)
    assert unit_interval(extremes).tolist() == [0.0, 1 - 2.0**-53]
