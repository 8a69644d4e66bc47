"""Ragged columns: the behaviours of many rows, as lists."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["flat_ranges", "list_column"]

Integers = npt.NDArray[np.int64]


def flat_ranges(
    starts: Integers, ends: Integers
) -> tuple[npt.NDArray[np.int32], Integers]:
    """Returns the numbers starts[k] to ends[k] - 1 of all k, side by side.

    Returns:
        Offsets [n + 1] of each range among the numbers, and the numbers.
    """
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(ends - starts, out=offsets[1:])
    # Number j of range k is starts[k] + j - offsets[k].
    shift: Integers = np.repeat(starts - offsets[:-1], ends - starts)
    numbers: Integers = shift + np.arange(offsets[-1], dtype=np.int64)
    return offsets, numbers


def list_column(
    offsets: npt.NDArray[np.int32], values: npt.NDArray[np.generic] | pa.Array
) -> pa.Array:
    """Returns lists; list k holds values[offsets[k] : offsets[k + 1]]."""
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
