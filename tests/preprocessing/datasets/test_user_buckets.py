"""Records come back by user, in order; drawn numbers depend on ids alone."""

import numpy as np
import pytest

from configs.errors import DataError
from preprocessing.datasets.draws import uniform
from preprocessing.datasets.item_categories import ItemCategories
from preprocessing.datasets.user_buckets import open_buckets

FIELDS = {"user": "i4", "value": "i8"}


def test_each_user_lies_in_one_bucket_in_the_order_given(tmp_path):
    rng = np.random.default_rng(0)
    users = rng.integers(0, 50, 1_000)
    with open_buckets(tmp_path / "out", 7, things=FIELDS) as [buckets]:
        for part in np.array_split(np.arange(1_000), 4):
            buckets.add(user=users[part], value=part)
        found = list(buckets)
        again = list(buckets)
    assert list(tmp_path.iterdir()) == []
    assert sum(len(records) for records in found) == 1_000
    seen = [set(records["user"].tolist()) for records in found]
    assert sum(len(s) for s in seen) == len(set().union(*seen)) == 50
    assert sum(bool(s) for s in seen) > 4
    for records, same in zip(found, again, strict=True):
        assert (records == same).all()
        assert (np.diff(records["value"]) > 0).all()
        assert (users[records["value"]] == records["user"]).all()


def test_a_number_that_does_not_fit_is_refused(tmp_path):
    with (
        open_buckets(tmp_path / "out", 2, things=FIELDS) as [buckets],
        pytest.raises(DataError, match="the user has values that do not fit"),
    ):
        buckets.add(user=np.array([1, 2**40]), value=np.array([1, 1]))
    with (
        pytest.raises(DataError, match="number of buckets is 0"),
        open_buckets(tmp_path / "out", 0, things=FIELDS),
    ):
        pass


def test_draws_depend_on_seed_and_id_alone():
    ids = np.arange(200_000)
    numbers = uniform(3, ids)
    assert (uniform(3, ids[::-1]) == numbers[::-1]).all()
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = np.histogram(numbers, 50, (0, 1))[0]
    assert (abs(counts - 4_000) < 6 * 4_000**0.5).all()
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.02
    for other in (uniform(4, ids), uniform(3, ids, stream=1)):
        assert abs(np.corrcoef(numbers, other)[0, 1]) < 0.02


def test_drawn_items_are_others_and_all_alike():
    categories = ItemCategories()
    items = np.array([3, 8, 2_000_000, 11, 40])
    categories.add(items, items % 7)
    assert categories.items.tolist() == sorted(items.tolist())
    ids = np.arange(20_000)
    for target in items:
        drawn = categories.draw(1, ids, other_than=np.full(len(ids), target))
        found, counts = np.unique(drawn, return_counts=True)
        assert found.tolist() == sorted(set(items.tolist()) - {target})
        assert (abs(counts - 5_000) < 6 * 5_000**0.5).all()
        assert (categories.of(drawn) == drawn % 7).all()
