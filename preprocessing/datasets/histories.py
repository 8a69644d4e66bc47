"""The behaviours of every user up to a moment, looked up for whole columns at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Histories", "HistorySlices"]

Integers = npt.NDArray[np.int64]

_TIME_BITS = 40
"""2**40 ms are 34 years; 2**23 users fit above them."""


@dataclass(frozen=True)
class HistorySlices:
    """Ragged lists of behaviours, one list for each question.

    Attributes:
        offsets: int32 [questions + 1], into the other two.
        items: int64, item indices, oldest first within a list.
        times: int64, ms since the epoch.
    """

    offsets: npt.NDArray[np.int32]
    items: Integers
    times: Integers


class Histories:
    """Behaviours sorted by user and time.

    Args:
        first_time: ms since the epoch; nothing happens earlier.
        max_length: the most recent behaviours that a question gets.
    """

    def __init__(self, *, first_time: int, max_length: int) -> None:
        self._first_time = first_time
        self._max_length = max_length
        self._keys: Integers = np.empty(0, np.int64)
        self._items: Integers = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, users: Integers, times: Integers, items: Integers) -> None:
        """Adds behaviours, in any order; [n] each. Ties keep the order given."""
        keys = self._key(users, times)
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(self._keys, keys[order], side="right")
        self._keys = np.insert(self._keys, places, keys[order])
        self._items = np.insert(self._items, places, items[order])

    def before(self, users: Integers, times: Integers) -> HistorySlices:
        """Returns, for each pair, the user's behaviours strictly before the time."""
        ends = np.searchsorted(self._keys, self._key(users, times), side="left")
        starts = np.searchsorted(self._keys, users << _TIME_BITS, side="left")
        starts = np.maximum(starts, ends - self._max_length)
        offsets = np.zeros(len(users) + 1, np.int32)
        np.cumsum(ends - starts, out=offsets[1:])
        # Position k of list q lies at starts[q] + k - offsets[q].
        shift = np.repeat(starts - offsets[:-1], ends - starts)
        places = shift + np.arange(offsets[-1], dtype=np.int64)
        times = (self._keys[places] & ((1 << _TIME_BITS) - 1)) + self._first_time
        return HistorySlices(offsets, self._items[places], times)

    def forget_before(self, time: int) -> None:
        """Drops what no question at `time` or later can get."""
        if not len(self._keys):
            return
        users = self._keys >> _TIME_BITS
        distinct, first = np.unique(users, return_index=True)
        ends = np.searchsorted(self._keys, self._key(distinct, np.int64(time)))
        sizes = np.diff(np.append(first, len(users)))
        needed = np.repeat(ends - self._max_length, sizes)
        kept = np.arange(len(users)) >= needed
        self._keys, self._items = self._keys[kept], self._items[kept]

    def _key(self, users: Integers, times: Integers | np.int64) -> Integers:
        return (users << _TIME_BITS) | (times - self._first_time)
