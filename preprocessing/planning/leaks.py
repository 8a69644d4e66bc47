"""Columns that nobody could know at the impression: they follow from the label."""

import numpy as np
import numpy.typing as npt

from preprocessing.planning.columns import Column

__all__ = ["leak"]

Booleans = npt.NDArray[np.bool_]

_FEWEST = 10
"""Positives (and negatives) without which nothing is said."""
_AUC = 0.995
_CORRELATION = 0.97
_MOST_VALUES = 50
"""Columns with more values are not judged by them: each row would explain itself."""


def leak(column: Column, label: npt.NDArray[np.float64]) -> str | None:
    """Returns why a column gives the label away, None if it does not.

    Args:
        column: of the impression log.
        label: 0 or 1, [rows].
    """
    positive = label > 0
    if min(int(positive.sum()), int((~positive).sum())) < _FEWEST:
        return None
    if abs(_correlation(column.present, positive)) >= _CORRELATION:
        return "it is filled in where the label is 1 (or 0), and nowhere else"
    if column.lists is not None:
        return None
    if column.numbers is not None:
        known = ~np.isnan(column.numbers)
        found = _auc(column.numbers[known], positive[known])
        if found is not None and max(found, 1.0 - found) >= _AUC:
            return f"by itself it has an AUC of {found:.4f} for the label"
    elif 1 < len(column.values) <= _MOST_VALUES:
        codes = column.codes + 1
        sizes = np.maximum(np.bincount(codes), 1)
        rates = np.bincount(codes, weights=positive) / sizes
        found = _auc(rates[codes], positive)
        if found is not None and found >= _AUC:
            return f"its values alone have an AUC of {found:.4f} for the label"
    return None


def _correlation(first: Booleans, second: Booleans) -> float:
    if first.all() or not first.any():
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _auc(scores: npt.NDArray[np.float64], positive: Booleans) -> float | None:
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if min(ones, zeros) < _FEWEST:
        return None
    _, ranks, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2.0
    total = float(means[ranks][positive].sum())
    return (total - ones * (ones + 1) / 2.0) / (ones * zeros)
