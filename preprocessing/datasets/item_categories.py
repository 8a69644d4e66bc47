"""The items of a behaviour log, each with its category."""

import numpy as np
import numpy.typing as npt

from preprocessing.datasets.draws import uniform

__all__ = ["ItemCategories"]

Integers = npt.NDArray[np.int64]


class ItemCategories:
    """Categories by item id; memory grows with the largest id."""

    LIMIT = 100_000_000
    """Ids are below this."""

    def __init__(self) -> None:
        self._category = np.full(1 << 20, -1, np.int32)
        self._items: Integers | None = None

    def add(self, items: Integers, categories: Integers) -> None:
        """Adds behaviours; of several categories of an item the last one counts."""
        needed = int(items.max(initial=0)) + 1
        if needed > len(self._category):
            size = max(needed, 2 * len(self._category))
            more = np.full(size - len(self._category), -1, np.int32)
            self._category = np.concatenate([self._category, more])
        self._category[items] = categories
        self._items = None

    @property
    def items(self) -> Integers:
        """All items, sorted."""
        if self._items is None:
            self._items = np.flatnonzero(self._category >= 0)
        return self._items

    def of(self, items: Integers) -> npt.NDArray[np.int32]:
        """Returns the category of each item."""
        categories: npt.NDArray[np.int32] = self._category[items]
        return categories

    def draw(self, seed: int, ids: Integers, *, other_than: Integers) -> Integers:
        """Draws an item for each id, uniformly from all but one.

        Args:
            seed: of the draws, which depend on it and the id alone.
            ids: [n].
            other_than: the item that is not drawn, [n].
        """
        items = self.items
        forbidden = np.searchsorted(items, other_than)
        # From all but one, those after it being one further on.
        count = max(len(items) - 1, 1)
        places = (uniform(seed, ids, stream=1) * count).astype(np.int64)
        places += places >= forbidden
        drawn: Integers = items[np.minimum(places, len(items) - 1)]
        return drawn
