"""Quantiles of numbers on the training split, out of counts that buckets leave.

A number is counted under its sign, exponent and the first 11 bits of its fraction (20
bits in all), so that the counts stay small whatever the data, and are added up exactly.
A quantile is the smallest number of its cell: it lies below the true one by less than a
2,048th of it, and whole numbers below 4,096 are exact.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["STEPS", "cell_counts", "quantiles_of"]

STEPS = 1_000
"""Parts that the quantiles cut the weight into."""

_DROPPED = 12
"""Bits of a float32 that are not looked at."""

_SIGN = np.uint32(1 << 31)


def cell_counts(
    values: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]
) -> pa.Table:
    """Returns the weight in each cell that has any: columns `cell` (int64, ascending
    with the numbers) and `weight`.

    Args:
        values: of the rows, NaN where missing, [N].
        weights: of the rows, positive, [N].
    """
    present = ~np.isnan(values)
    bits = np.ascontiguousarray(values[present] + np.float32(0.0)).view(np.uint32)
    # Turned so that the order of the bits is that of the numbers.
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    cells = (ordered >> np.uint32(_DROPPED)).astype(np.int64)
    # From the lowest one on: numbers of one column lie in few of the cells.
    first = int(cells.min()) if len(cells) else 0
    sums = np.bincount(cells - first, weights=weights[present])
    found = np.flatnonzero(sums)
    return pa.table(
        {"cell": pa.array(found + first, pa.int64()), "weight": pa.array(sums[found])}
    )


def quantiles_of(parts: Iterable[pa.Table]) -> list[float]:
    """Returns the 999 quantiles at each thousandth of the weight; none without weight.

    Args:
        parts: results of `cell_counts`, in the order of the buckets.
    """
    tables = list(parts)
    if not tables:
        return []
    cells = np.concatenate([table["cell"].to_numpy() for table in tables])
    weights = np.concatenate([table["weight"].to_numpy() for table in tables])
    sums = np.bincount(cells, weights=weights) if len(cells) else np.zeros(0)
    running = np.cumsum(sums)
    if not len(running) or running[-1] <= 0:
        return []
    wanted = running[-1] * np.arange(1, STEPS) / STEPS
    # Sums of weights 1/r may miss a whole number by rounding.
    places = np.searchsorted(running, wanted * (1 - 1e-12), side="left")
    return [float(value) for value in _lowest(places)]


def _lowest(cells: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Returns the number of each cell that is nearest to zero."""
    ordered = cells.astype(np.uint32) << np.uint32(_DROPPED)
    positive = (ordered & _SIGN) != 0
    rest = np.uint32((1 << _DROPPED) - 1)
    bits = np.where(positive, ordered ^ _SIGN, ~(ordered | rest))
    return bits.astype(np.uint32).view(np.float32)
