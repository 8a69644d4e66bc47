import statistics

import numpy as np
import pytest

from benchmarks.training.spread import ratio, spread


def test_the_interval_of_few_values_is_their_range() -> None:
    found = spread([3.0, 1.0, 2.0])
    assert (found.low, found.middle, found.high, found.count) == (1.0, 2.0, 3.0, 3)
    assert found.text(1) == "2.0 (1.0 to 3.0)"


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        found = spread([float(x) for x in generator.normal(5.0, 1.0, 15)])
        hits += found.low <= 5.0 <= found.high
    assert hits >= 50  # of 57 expected


def test_the_same_values_give_the_same_interval() -> None:
    values = [1.0, 5.0, 2.0, 8.0, 3.0, 9.0, 4.0]
    assert spread(values) == spread(values)
    assert spread(values).middle == statistics.median(values)


def test_ratios_are_of_the_same_round() -> None:
    # The machine is half as fast in the second round: the ratio does not notice.
    found = ratio([10.0, 5.0, 10.0], [5.0, 2.5, 5.0])
    assert (found.low, found.middle, found.high) == (2.0, 2.0, 2.0)


def test_rounds_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least one"):
        spread([])
