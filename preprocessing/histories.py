"""The most recent behaviours before a moment, for whole columns at once.

A history holds the user's behaviours with time < asked time, the last `max_length` of
them, oldest first; those of one millisecond stand in the order of `tie`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from preprocessing.arrays import one_array
from preprocessing.fields import USER

__all__ = ["Slices", "in_order", "needed_later", "recent"]

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Slices:
    """Ragged lists of rows of a table of behaviours, one list for each question.

    Attributes:
        offsets: into `places`, int32 [questions + 1].
        places: of rows, int64, oldest first within a list.
        older: behaviours that were cut off, int64 [questions].
    """

    offsets: npt.NDArray[np.int32]
    places: Integers
    older: Integers


def in_order(behaviours: pa.Table) -> pa.Table:
    """Returns behaviours by user, time and tie."""
    keys = [one_array(behaviours[name]).to_numpy() for name in ("tie", "time", USER)]
    return behaviours.take(pa.array(np.lexsort(keys))).combine_chunks()


def recent(
    behaviours: pa.Table, users: Integers, times: Integers, max_length: int
) -> Slices:
    """Answers questions.

    Args:
        behaviours: in order.
        users: fingerprints, one for each question.
        times: a behaviour must be earlier, ms, [questions].
        max_length: the most recent behaviours that a history keeps.
    """
    starts, ends = _spans(behaviours, users, times)
    first = np.maximum(starts, ends - max_length)
    lengths = ends - first
    offsets = np.zeros(len(users) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    # Position k of list q is the row first[q] + k - offsets[q].
    places: Integers = np.repeat(first - offsets[:-1], lengths)
    places += np.arange(offsets[-1])
    return Slices(offsets=offsets, places=places, older=first - starts)


def needed_later(
    behaviours: pa.Table, time: int, max_length: int
) -> npt.NDArray[np.bool_]:
    """Returns which behaviours a question at `time` or later can still get: those not
    earlier, and the last `max_length` of each user before.

    Args:
        behaviours: in order.
        time: ms.
        max_length: of the longest history.
    """
    users = one_array(behaviours[USER]).to_numpy()
    distinct, first = np.unique(users, return_index=True)
    sizes = np.diff(np.append(first, len(users)))
    _, ends = _spans(behaviours, distinct, np.full(len(distinct), time))
    needed: npt.NDArray[np.bool_] = np.arange(len(users)) >= np.repeat(
        ends - max_length, sizes
    )
    return needed


def _spans(
    behaviours: pa.Table, users: Integers, times: Integers
) -> tuple[Integers, Integers]:
    """Returns the first behaviour of each user, and the first one not before the
    time; equal where there is none."""
    known = one_array(behaviours[USER]).to_numpy()
    if len(known) == 0:
        nothing = np.zeros(len(users), np.int64)
        return nothing, nothing
    distinct, first, counts = np.unique(known, return_index=True, return_counts=True)
    # One number for user and time: users by their ranks, and times by theirs.
    moments, ranks = np.unique(
        one_array(behaviours["time"]).to_numpy(), return_inverse=True
    )
    width = len(moments) + 1
    keys = np.repeat(np.arange(len(distinct)), counts) * width + ranks
    code = np.minimum(np.searchsorted(distinct, users), len(distinct) - 1)
    asked = code * width + np.searchsorted(moments, times)
    starts = first[code]
    ends = np.where(distinct[code] == users, np.searchsorted(keys, asked), starts)
    return starts, ends
