"""Sums of weights by value: a hash table in place of a sort."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["weighted_counts"]


def weighted_counts(
    values: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Returns the distinct values, ascending, and the sum of the weights of each.

    Args:
        values: [N].
        weights: [N]; added up in this order, so that every run gives the same digits.
    """
    encoded: Any = pa.array(values, pa.int64()).dictionary_encode()
    distinct = encoded.dictionary.to_numpy()
    codes = encoded.indices.to_numpy()
    sums = np.bincount(codes, weights=weights, minlength=len(distinct))
    totals = sums.astype(np.float64)  # integers where there are no values
    order = np.argsort(distinct)
    return distinct[order], totals[order]
