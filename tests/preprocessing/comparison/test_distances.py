"""Distances between distributions, by hand."""

from math import log, log2

import numpy as np
import pytest

from preprocessing.comparison.distances import (
    Cells,
    Counts,
    categorical_cells,
    jensen_shannon,
    numeric_cells,
    psi,
    psi_by_chance,
)


def cells(before: list[float], after: list[float]) -> Cells:
    names = [str(number) for number in range(len(before))]
    return Cells(names, np.array(before, float), np.array(after, float))


def test_psi_by_hand() -> None:
    # With half a row more in each cell: 30, 10 of 40 and 20, 20 of 40.
    found = psi(cells([29.5, 9.5], [19.5, 19.5]))
    assert found == pytest.approx((0.5 - 0.75) * log(0.5 / 0.75) + 0.25 * log(2.0))
    assert psi(cells([5, 7], [10, 14.5])) == pytest.approx(0.0, abs=1e-3)
    # 10 rows all in one cell, 10 all in the other: 10.5 / 11 against 0.5 / 11.
    whole = 2 * (10 / 11) * log(21.0)
    assert psi(cells([10, 0], [0, 10])) == pytest.approx(whole)


def test_what_chance_alone_gives() -> None:
    assert psi_by_chance(cells([50, 50, 0], [100, 100, 0])) == pytest.approx(0.015)
    chance = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    found = [
        psi(cells(*(chance.multinomial(2_000, shares).tolist() for _ in range(2))))
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(9 * 2 / 2_000, rel=0.1)


def test_jensen_shannon_by_hand() -> None:
    assert jensen_shannon(cells([4, 0], [0, 9])) == pytest.approx(1.0)
    assert jensen_shannon(cells([1, 3], [10, 30])) == 0.0
    # Shares 1/2, 1/2 and 1, 0: the middle is 3/4, 1/4.
    expected = (0.5 * log2(0.5 / 0.75) + 0.5 * log2(0.5 / 0.25) + log2(1 / 0.75)) / 2
    assert jensen_shannon(cells([2, 2], [7, 0])) == pytest.approx(expected)
    assert jensen_shannon(cells([0, 0], [1, 1])) == 0.0


def test_categorical_cells_are_the_top_values_others_and_missing() -> None:
    before = Counts(np.arange(60), 100.0 - np.arange(60), 5.0)
    after = Counts(np.array([1, 999]), np.array([3.0, 8.0]), 2.0)
    found = categorical_cells(before, after, {1: "one"})
    assert len(found.names) == 50 + 1 + 2  # 999 is the one new among the top
    assert found.names[:2] == ["#0000000000000000", "one"]
    assert found.before.sum() == before.weights.sum() + 5.0
    assert after.share_new_to(before) == 8 / 11
    assert before.share_new_to(after) == (before.weights.sum() - 99.0) / (
        before.weights.sum()
    )
    assert after.missing_share == 2 / 13
    assert found.after.tolist()[1] == 3.0
    assert (found.before[-2], found.before[-1]) == (sum(range(41, 51)), 5.0)
    assert (found.after[-2], found.after[-1]) == (0.0, 2.0)


def test_numeric_cells_hold_a_twentieth_each() -> None:
    bins = np.arange(1, 101)
    before = bins, np.ones(100)
    after = np.array([5, 100, 101]), np.array([1.0, 2.0, 4.0])
    names = {number: str(number) for number in range(1, 102)}
    found = numeric_cells(before, after, (0.0, 3.0), names)
    assert found.names[:3] == ["1", "6", "11"]
    assert found.before[:20].tolist() == [5.0] * 20
    # Beyond all that was there before is a cell of its own.
    assert found.after.tolist() == [1.0, *[0.0] * 18, 2.0, 4.0, 3.0]
