"""Which rows of which shards form the blocks that an epoch is shuffled in.

The shards of an epoch are read in groups. A block takes the next `chunk` rows of every
shard of its group, so that its rows come from several shards, and the manifest alone
tells where each block begins: a run can go on at any of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.manifest import Shard

__all__ = ["BlockStart", "Group", "groups_of", "locate"]

_TOGETHER = 8
"""Shards that a block draws from: more would only cost open files."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Shards that are read side by side.

    Attributes:
        shards: in the order of the epoch.
        chunk: rows that a block takes from each of them, while they last.
    """

    shards: tuple[Shard, ...]
    chunk: int

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each block of the group."""
        rows = np.array([shard.rows for shard in self.shards], np.int64)
        blocks = int(-(-rows.max(initial=0) // self.chunk))
        starts = np.arange(blocks, dtype=np.int64)[:, np.newaxis] * self.chunk
        sizes: NDArray[np.int64] = np.clip(rows - starts, 0, self.chunk).sum(axis=1)
        return sizes


@dataclass(frozen=True, kw_only=True)
class BlockStart:
    """A block, and the place inside it where reading goes on.

    Attributes:
        group: number of its group.
        block: number of the block inside the group.
        row: rows of the epoch before the block.
        dropped: rows of the shuffled block that were consumed before.
    """

    group: int
    block: int
    row: int
    dropped: int


def groups_of(shards: Sequence[Shard], block: int, *, mixed: bool) -> list[Group]:
    """Divides the shards of an epoch into groups.

    Args:
        shards: in the order of the epoch.
        block: rows of a block; up to 7 more where they do not divide evenly.
        mixed: whether a block draws from several shards; else from one, of which it
            takes adjacent rows.
    """
    groups = []
    for first in range(0, len(shards), _TOGETHER if mixed else 1):
        members = tuple(shards[first : first + (_TOGETHER if mixed else 1)])
        groups.append(Group(shards=members, chunk=-(-block // len(members))))
    return groups


def locate(groups: Sequence[Group], row: int) -> BlockStart:
    """Returns the block that holds a row of the epoch.

    A row behind the last one has a place behind the last group.
    """
    before = 0
    for number, group in enumerate(groups):
        ends = np.cumsum(group.sizes)
        rows = int(ends[-1]) if len(ends) else 0
        if row < before + rows:
            block = int(np.searchsorted(ends, row - before, side="right"))
            start = before + int(ends[block] - group.sizes[block])
            return BlockStart(group=number, block=block, row=start, dropped=row - start)
        before += rows
    return BlockStart(group=len(groups), block=0, row=before, dropped=0)
