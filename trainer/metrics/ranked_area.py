"""The exact area under the ROC curve of a few rows, by sorting them."""

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.gauc import GroupedAUC
from trainer.metrics.undefined import Undefined

__all__ = ["RankedArea"]


class RankedArea:
    """The probability that a positive scores above a negative, ties counting half.

    `AreaUnderCurve` has the formula. This one keeps all rows (21 bytes each) and ranks
    their scores as float32: it is the grouped AUC of a single group.
    """

    def __init__(self) -> None:
        self._one_group = GroupedAUC()
        self._positive = 0.0
        self._negative = 0.0

    def update(
        self,
        logits: NDArray[np.float64],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> None:
        """Adds rows: [B] each; logits not NaN, labels 0 or 1."""
        group = np.zeros(len(logits), np.int64)
        self._one_group.update(group, logits.astype(np.float32), labels, weights)
        self._positive += float(np.dot(weights, labels))
        self._negative += float(np.dot(weights, 1.0 - labels))

    def merge(self, other: "RankedArea") -> None:
        """Adds the rows that `other` has seen."""
        self._one_group.merge(other._one_group)
        self._positive += other._positive
        self._negative += other._negative

    def result(self) -> float:
        """Returns the AUC.

        Raises:
            Undefined: if all labels are alike.
        """
        self._check_both_kinds()
        return self._one_group.result().value

    def error_bound(self) -> float:
        """Returns 0: nothing is rounded.

        Raises:
            Undefined: if all labels are alike.
        """
        self._check_both_kinds()
        return 0.0

    def _check_both_kinds(self) -> None:
        if not self._positive or not self._negative:
            kind = "negative" if not self._positive else "positive"
            raise Undefined(f"all rows are {kind}, and it compares both kinds")
