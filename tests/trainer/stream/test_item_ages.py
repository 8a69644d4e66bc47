"""Rows by the time since the stream saw their item first."""

import numpy as np

from trainer.stream.item_ages import ItemAges


def rows_by_age(ages: ItemAges, items: list[int], times: list[int]) -> dict[str, list]:
    found = ages.parts(np.array(items), np.array(times))
    return {name: np.flatnonzero(rows).tolist() for name, rows in found.items()}


def test_rows_are_told_apart_by_the_age_of_their_item() -> None:
    ages = ItemAges(["2s", "1s"])  # in any order
    # Item 7 is seen first at 500 ms, though a later row of it comes before.
    found = rows_by_age(ages, [7, 5, 7, 5], [900, 100, 500, 1_100])
    assert found == {"under 1s": [0, 1, 2], "under 2s": [3]}
    found = rows_by_age(ages, [5, 7, 9, 5], [2_100, 1_499, 2_000, 50])
    assert found == {"under 1s": [1, 2, 3], "from 2s": [0]}
    assert [t.tolist() for t in ages.tensors().values()] == [
        [5, 7, 9],
        [100, 500, 2_000],
    ]


def test_items_beyond_those_that_are_remembered_have_no_age() -> None:
    ages = ItemAges(["1s"], most=2)
    found = rows_by_age(ages, [3, 1, 2, 3], [0, 0, 0, 2_000])
    assert found == {"under 1s": [1, 2], "unknown": [0, 3]}
    assert rows_by_age(ages, [2, 4], [1_000, 0]) == {"from 1s": [0], "unknown": [1]}


def test_without_ages_nothing_is_kept() -> None:
    ages = ItemAges([])
    assert rows_by_age(ages, [1], [0]) == {} and ages.tensors() == {}
