"""The area under the ROC curve, from a histogram of logits."""

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.undefined import Undefined

__all__ = ["BINS", "AreaUnderCurve"]

BINS = 2**20
"""Bins of equal width; 16 MiB of memory."""

_LIMIT = 16.0
"""Logits beyond +-16 (probabilities within 1.1e-7 of 0 or 1) share the end bins."""


class AreaUnderCurve:
    """The probability that a positive scores above a negative, ties counting half.

        AUC = sum over bins k of p_k * (n_below_k + n_k / 2) / (P * N)

    with p_k and n_k the weight of the positives and negatives whose logit lies in bin
    k, n_below_k that of the negatives in lower bins, and P and N the totals. Bins are
    2**20 of width 32 / 2**20 over the logits from -16 to 16. Order inside a bin is
    unknown, so the exact value lies within

        error <= sum over bins of p_k * n_k / (2 * P * N)

    of it, which is computed from the data (about 1e-6 for smooth scores, more only if
    many rows really tie). Memory does not grow with the rows, and histograms of parts
    of a set add up to that of the whole.
    """

    def __init__(self) -> None:
        self._positive = np.zeros(BINS)
        self._negative = np.zeros(BINS)

    def update(
        self,
        logits: NDArray[np.float64],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> None:
        """Adds rows.

        Args:
            logits: [B], not NaN.
            labels: [B], 0 or 1.
            weights: [B].
        """
        scaled = (np.clip(logits, -_LIMIT, _LIMIT) + _LIMIT) * (BINS / (2 * _LIMIT))
        bins = np.minimum(scaled.astype(np.int64), BINS - 1)
        np.add.at(self._positive, bins, weights * labels)
        np.add.at(self._negative, bins, weights * (1.0 - labels))

    def merge(self, other: "AreaUnderCurve") -> None:
        """Adds the rows that `other` has seen."""
        self._positive += other._positive
        self._negative += other._negative

    def result(self) -> float:
        """Returns the AUC.

        Raises:
            Undefined: if all labels are alike.
        """
        positives, negatives = self._totals()
        below = np.cumsum(self._negative) - self._negative
        area = np.dot(self._positive, below + self._negative / 2.0)
        return float(area / (positives * negatives))

    def error_bound(self) -> float:
        """Returns how far the exact AUC is from `result()` at most.

        Raises:
            Undefined: if all labels are alike.
        """
        positives, negatives = self._totals()
        ties = np.dot(self._positive, self._negative)
        return float(ties / (2.0 * positives * negatives))

    def _totals(self) -> tuple[float, float]:
        positives = float(self._positive.sum())
        negatives = float(self._negative.sum())
        if not positives or not negatives:
            kind = "negative" if not positives else "positive"
            raise Undefined(f"all rows are {kind}, and it compares both kinds")
        return positives, negatives
