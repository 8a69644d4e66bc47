"""All metrics of one task, and what each of them means."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.auc import BINS, AreaUnderCurve
from trainer.metrics.gauc import GroupedAUC
from trainer.metrics.likelihood import Likelihood
from trainer.metrics.ranked_area import RankedArea
from trainer.metrics.undefined import Undefined

__all__ = ["DEFINITIONS", "TaskMetrics"]

DEFINITIONS = {
    "auc": (
        "probability that a positive scores above a negative, ties half; from a"
        f" histogram of {BINS} logit bins, exact within auc_error_bound"
    ),
    "gauc": (
        "mean of the AUC of each user, weighted by the user's impressions; users whose"
        " labels are all alike are left out"
    ),
    "log_loss": "mean negative log-likelihood, in nats",
    "normalized_entropy": (
        "log loss / entropy (natural log) of the observed rate; 1 is as good as always"
        " predicting that rate"
    ),
    "calibration": "mean predicted / mean observed; 1 is calibrated",
    "observed_rate": "mean label",
    "predicted_rate": "mean predicted probability",
}
"""What is printed beside the figures. All are over the whole set, and in a split whose
negatives were down-sampled at rate r a dropped-from negative weighs 1/r."""


class TaskMetrics:
    """The metrics of one task over a set of rows.

    Args:
        grouped: whether rows have users, for the grouped AUC.
        ranked: whether the AUC is exact, from all rows, instead of a histogram, which
            costs memory and milliseconds however few rows there are.
    """

    def __init__(self, *, grouped: bool, ranked: bool = False) -> None:
        self.likelihood = Likelihood()
        self._area: AreaUnderCurve | RankedArea = (
            RankedArea() if ranked else AreaUnderCurve()
        )
        self._grouped = GroupedAUC() if grouped else None

    @property
    def rows(self) -> int:
        """Rows seen."""
        return self.likelihood.rows

    def update(
        self,
        logits: NDArray[np.floating[Any]],
        labels: NDArray[np.floating[Any]],
        weights: NDArray[np.float64],
        users: NDArray[np.int64] | None,
    ) -> None:
        """Adds rows: [B] each.

        Raises:
            FloatingPointError: if a logit is NaN.
        """
        z, y = logits.astype(np.float64), labels.astype(np.float64)
        if np.isnan(z).any():
            raise FloatingPointError("a prediction is NaN")
        self.likelihood.update(z, y, weights)
        self._area.update(z, y, weights)
        if self._grouped is not None and users is not None:
            self._grouped.update(users, logits.astype(np.float32), y, weights)

    def merge(self, other: "TaskMetrics") -> None:
        """Adds the rows that `other` has seen."""
        self.likelihood.merge(other.likelihood)
        self._area.merge(other._area)  # type: ignore[arg-type]
        if self._grouped is not None and other._grouped is not None:
            self._grouped.merge(other._grouped)

    def result(self) -> dict[str, Any]:
        """Returns the values by name; those without one are None, and `undefined` says
        why."""
        undefined: dict[str, str] = {}

        def value_of(name: str, compute: Callable[[], float]) -> float | None:
            try:
                return compute()
            except Undefined as reason:
                undefined[name] = str(reason)
                return None

        values: dict[str, Any] = {
            "rows": self.rows,
            "weight": self.likelihood.weight,
            "positives": self.likelihood.positives,
            "auc": value_of("auc", self._area.result),
            "auc_error_bound": value_of("auc_error_bound", self._area.error_bound),
            **self._grouped_values(undefined),
            "log_loss": value_of("log_loss", self.likelihood.log_loss),
            "normalized_entropy": value_of(
                "normalized_entropy", self.likelihood.normalized_entropy
            ),
            "calibration": value_of("calibration", self.likelihood.calibration),
            "calibration_error": value_of(
                "calibration_error", self.likelihood.calibration_error
            ),
            "observed_rate": value_of("observed_rate", self.likelihood.observed_rate),
            "predicted_rate": value_of(
                "predicted_rate", self.likelihood.predicted_rate
            ),
        }
        for bound in ("auc_error_bound", "calibration_error"):
            undefined.pop(bound, None)
        return {**values, "undefined": undefined}

    def _grouped_values(self, undefined: dict[str, str]) -> dict[str, Any]:
        if self._grouped is None:
            undefined["gauc"] = "the job has no ids.user"
            return {"gauc": None}
        try:
            grouped = self._grouped.result()
        except Undefined as reason:
            undefined["gauc"] = str(reason)
            return {"gauc": None}
        return {
            "gauc": grouped.value,
            "gauc_users": grouped.users,
            "gauc_users_left_out": grouped.users_left_out,
            "gauc_impression_share": grouped.impression_share,
        }
