"""Merges the partitions of a topic by a fixed rule.

The next message is the earliest by timestamp among the first ones of all partitions; of
equal ones that of the lowest partition. Inside a partition the order of offsets stays.
So the order is that of sorting by (greatest timestamp so far in the partition since the
start of the window, partition, offset), and the first n messages are known as soon as
every partition that may still bring an earlier one has brought a later one.
"""

import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "Buffer", "merged_order", "ready_rows"]


@dataclass(eq=False)
class Block:
    """Messages of one partition, in order.

    Attributes:
        offsets: of the messages.
        times: their timestamps in milliseconds.
        values: their values, if they have any.
    """

    offsets: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def between(self, start: int, stop: int) -> "Block":
        """Returns the messages whose offsets lie in [start, stop)."""
        first, last = (bisect_left(self.offsets, at) for at in (start, stop))
        if (first, last) == (0, len(self.offsets)):
            return self
        return Block(
            self.offsets[first:last], self.times[first:last], self.values[first:last]
        )

    def without(self, places: Collection[int]) -> "Block":
        """Returns the messages but for those at some places."""
        kept = [place for place in range(len(self.offsets)) if place not in places]
        return Block(
            [self.offsets[place] for place in kept],
            [self.times[place] for place in kept],
            [self.values[place] for place in kept],
        )


@dataclass(kw_only=True, eq=False)
class Buffer:
    """Messages of one partition that were read, and are in no window yet.

    Attributes:
        position: offset behind the last window's messages.
        read: offset behind what was read.
        dry: whether nothing more was there when it was last looked for.
        stop: offset behind which nothing need be waited for.
        offsets: of the messages.
        values: of the messages.
        screened: how many of the first messages are known to be examples.
        dead: offset and reason of messages that were put aside, from `position` on.
    """

    position: int
    read: int
    dry: bool = False
    stop: int = sys.maxsize
    offsets: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    screened: int = 0
    dead: list[tuple[int, str]] = field(default_factory=list)
    _times: list[int] = field(default_factory=list)
    _keys: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.offsets)

    @property
    def at_end(self) -> bool:
        """Whether nothing more has to be waited for."""
        return self.dry or self.read >= self.stop

    @property
    def keys(self) -> NDArray[np.int64]:
        """The greatest timestamp up to each message, int64 [messages]."""
        if self._keys is None:
            times = np.asarray(self._times, np.int64)
            self._keys = np.maximum.accumulate(times) if len(times) else times
        return self._keys

    def extend(
        self, offsets: Sequence[int], times: Sequence[int], values: Sequence[bytes]
    ) -> None:
        """Adds messages behind the others."""
        self.offsets += offsets
        self.values += values
        self._times += times
        self._keys = None

    def below(self, offset: int) -> int:
        """Returns how many of the messages lie before an offset."""
        return int(np.searchsorted(np.asarray(self.offsets, np.int64), offset))

    def take(self, count: int, position: int | None = None) -> Counter[str]:
        """Removes the first messages, and those that were put aside among them.

        Args:
            count: of messages.
            position: to go to; unless given that of the next message, or behind all
                that was read if there is none.

        Returns:
            Those that were put aside and lay there, by reason.
        """
        if position is None:
            left = count < len(self)
            position = self.offsets[count] if left else self.read
        del self.offsets[:count], self.values[:count], self._times[:count]
        self._keys = None
        self.screened = max(0, self.screened - count)
        self.position = position
        passed = [reason for offset, reason in self.dead if offset < position]
        self.dead = [(at, reason) for at, reason in self.dead if at >= position]
        return Counter(passed)

    def unscreened(self) -> Block:
        """Returns the messages that nobody has looked at."""
        first = self.screened
        values: list[bytes | None] = list(self.values[first:])
        return Block(self.offsets[first:], self._times[first:], values)

    def keep_screened(self, bad: Collection[int]) -> None:
        """Removes some of those, by their places there; the others are examples."""
        if bad:
            first, kept = self.screened, self.unscreened().without(bad)
            self.offsets[first:] = kept.offsets
            self._times[first:] = kept.times
            self.values[first:] = [value for value in kept.values if value is not None]
            self._keys = None
        self.screened = len(self.offsets)


def ready_rows(buffers: Mapping[int, Buffer]) -> tuple[dict[int, int], int | None]:
    """Returns how many messages of each partition nothing can come before any more, and
    the partition that has to bring more before others can be; None if none has to."""
    open_ends = [
        (int(buffer.keys[-1]) if len(buffer) else None, number)
        for number, buffer in buffers.items()
        if not buffer.at_end
    ]
    if not open_ends:
        return {number: len(buffer) for number, buffer in buffers.items()}, None
    for key, number in open_ends:
        if key is None:
            return dict.fromkeys(buffers, 0), number
    last, holder = min((key, number) for key, number in open_ends if key is not None)
    counts = {
        number: int(
            np.searchsorted(buffer.keys, last, "right" if number <= holder else "left")
        )
        for number, buffer in buffers.items()
    }
    return counts, holder


def merged_order(
    buffers: Mapping[int, Buffer], counts: Mapping[int, int], rows: int
) -> tuple[list[bytes], dict[int, int]]:
    """Merges the first messages of the partitions.

    Args:
        buffers: by partition.
        counts: how many messages of each are merged.
        rows: how many of the merged are wanted.

    Returns:
        Their values in order, and how many are of each partition.
    """
    numbers = sorted(counts)
    keys = _joined([buffers[n].keys[: counts[n]] for n in numbers])
    partitions = np.repeat(np.asarray(numbers, np.int64), [counts[n] for n in numbers])
    # Stable, so that messages of a partition stay in the order of their offsets.
    order = np.lexsort((partitions, keys))[:rows]
    values: list[bytes] = []
    for number in numbers:
        values += buffers[number].values[: counts[number]]
    of_partition = partitions[order]
    taken = {number: int(np.sum(of_partition == number)) for number in numbers}
    return [values[place] for place in order.tolist()], taken


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts])
