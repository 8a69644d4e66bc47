"""Quantiles out of counts: near the true ones, and the same however rows are cut."""

import numpy as np
import pytest

from preprocessing.quantiles import cell_counts, quantiles_of


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(size=5_000) * 1e3,
        np.random.default_rng(2).integers(-50, 50, 5_000),
        np.random.default_rng(3).lognormal(0.0, 8.0, 5_000),
        np.asarray([0.0, -0.0, 0.0, 7.0]),
        np.asarray([3.0e38, -3.0e38, 1e-44, -1e-44]),
    ],
    ids=["normal", "integers", "wide", "zeros", "extremes"],
)
def test_quantiles_are_those_of_the_rows(values: np.ndarray) -> None:
    values = values.astype(np.float32)
    whole = np.append(values, np.float32(np.nan))
    weights = np.ones(len(whole))
    found = quantiles_of([cell_counts(whole, weights)])
    exact = np.sort(values)[
        np.ceil(len(values) * np.arange(1, 1000) / 1000).astype(int) - 1
    ]
    assert len(found) == 999 and found == sorted(found)
    np.testing.assert_allclose(found, exact, rtol=2**-11, atol=1e-38)
    assert (np.abs(found) <= np.abs(exact)).all()
    whole_numbers = exact == np.floor(exact)
    small = whole_numbers & (np.abs(exact) < 4_096)
    assert (np.asarray(found)[small] == exact[small]).all()


def test_weights_count_and_buckets_do_not() -> None:
    random = np.random.default_rng(4)
    values = random.normal(size=3_000).astype(np.float32)
    weights = random.choice([1.0, 10.0], 3_000)
    repeated = np.repeat(values, weights.astype(int))
    whole = quantiles_of([cell_counts(values, weights)])
    assert whole == quantiles_of([cell_counts(repeated, np.ones(len(repeated)))])
    parts = [cell_counts(values[i::7], weights[i::7]) for i in range(7)]
    assert whole == quantiles_of(parts)


def test_without_a_value_there_are_none() -> None:
    nothing = cell_counts(np.full(3, np.nan, np.float32), np.ones(3))
    assert quantiles_of([nothing]) == []
    assert quantiles_of([]) == []
