"""How old items are: the time since the stream saw each of them first."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.durations import duration_ms
from trainer.checkpoint import tensors_in

__all__ = ["ItemAges"]

MOST_ITEMS = 10_000_000
"""Remembered; 16 bytes each, in memory and in each checkpoint. Items beyond it have no
age."""

UNKNOWN = "unknown"

_ITEMS = "stream/items"
_FIRST_SEEN = "stream/first_seen"


class ItemAges:
    """Remembers when items were seen first, in event time.

    Args:
        ages: that part items, as durations, in any order.
        most: items that are remembered.
    """

    def __init__(self, ages: Sequence[str], *, most: int = MOST_ITEMS) -> None:
        self._ages = sorted(ages, key=duration_ms)
        self._most = most
        self._items = np.zeros(0, np.int64)
        self._first_seen = np.zeros(0, np.int64)

    def tensors(self) -> dict[str, NDArray[np.int64]]:
        """Returns what a checkpoint has to hold, by name."""
        if not self._ages:
            return {}
        return {_ITEMS: self._items, _FIRST_SEEN: self._first_seen}

    def restore(self, checkpoint: Path) -> None:
        """Goes on with what a checkpoint holds; with nothing, if it was written without
        ages."""
        if self._ages:
            found = tensors_in(checkpoint, [_ITEMS, _FIRST_SEEN])
            self._items = found.get(_ITEMS, self._items)
            self._first_seen = found.get(_FIRST_SEEN, self._first_seen)

    def parts(
        self, items: NDArray[np.int64], times: NDArray[np.int64]
    ) -> dict[str, NDArray[np.bool_]]:
        """Takes note of the rows of a window, and returns which of them belong to items
        of which age; ages without rows are left out.

        Args:
            items: fingerprints [rows].
            times: of the events, in ms [rows].
        """
        if not self._ages:
            return {}
        self._learn(items, times)
        place = np.searchsorted(self._items, items)
        place = np.minimum(place, len(self._items) - 1)
        known = self._items[place] == items
        ages = np.where(known, times - self._first_seen[place], -1)
        # An event may come late: it is no older than the item.
        ages = np.where(known, np.maximum(ages, 0), -1)
        bounds = [duration_ms(age) for age in self._ages]
        group = np.searchsorted(bounds, ages, side="right")
        names = [f"under {age}" for age in self._ages] + [f"from {self._ages[-1]}"]
        parts = {
            name: known & (group == number) for number, name in enumerate(names)
        } | {UNKNOWN: ~known}
        return {name: rows for name, rows in parts.items() if rows.any()}

    def _learn(self, items: NDArray[np.int64], times: NDArray[np.int64]) -> None:
        order = np.lexsort((times, items))
        values, first = np.unique(items[order], return_index=True)
        new = ~np.isin(values, self._items, assume_unique=True)
        new &= np.cumsum(new) <= self._most - len(self._items)
        values, earliest = values[new], times[order][first[new]]
        merged = np.concatenate([self._items, values])
        place = np.argsort(merged, kind="stable")
        self._items = merged[place]
        self._first_seen = np.concatenate([self._first_seen, earliest])[place]
