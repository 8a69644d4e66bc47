"""Log loss, normalized entropy and calibration: sums over rows."""

import math

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.undefined import Undefined

__all__ = ["Likelihood"]


class Likelihood:
    """Sums over rows with label y in {0, 1}, logit z, p = sigmoid(z) and weight w:

        log loss    L = sum w * (-y ln p - (1 - y) ln(1 - p)) / sum w
        observed    q = sum w * y / sum w
        predicted   m = sum w * p / sum w
        normalized entropy  L / (-q ln q - (1 - q) ln(1 - q))
        calibration         m / q
        its standard error  sqrt(sum w^2 (p - y)^2) / sum w * y

    The normalized entropy (He et al. 2014) is the log loss in units of that of always
    predicting the observed rate: below 1 is better than that. The standard error holds
    for a calibrated model, whose p - y have the mean 0.

    Attributes:
        rows: seen.
        positives: of them.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.positives = 0
        self._weight = 0.0
        self._loss = 0.0
        self._observed = 0.0
        self._predicted = 0.0
        self._squares = 0.0

    @property
    def weight(self) -> float:
        """The sum of w: how many rows those seen stand for."""
        return self._weight

    def update(
        self,
        logits: NDArray[np.float64],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> None:
        """Adds rows: [B] each, logits not NaN, labels 0 or 1."""
        # softplus(z) - y z, which neither overflows nor takes the log of 0.
        losses = np.logaddexp(0.0, logits) - labels * logits
        self.rows += len(logits)
        self._weight += float(weights.sum())
        self._loss += float(np.dot(weights, losses))
        self._observed += float(np.dot(weights, labels))
        predicted = 0.5 * (1.0 + np.tanh(0.5 * logits))
        self._predicted += float(np.dot(weights, predicted))
        self.positives += int(np.count_nonzero(labels))
        errors = weights * (predicted - labels)
        self._squares += float(np.dot(errors, errors))

    def merge(self, other: "Likelihood") -> None:
        """Adds the rows that `other` has seen."""
        self.rows += other.rows
        self._weight += other._weight
        self._loss += other._loss
        self._observed += other._observed
        self._predicted += other._predicted
        self.positives += other.positives
        self._squares += other._squares

    def sums(self) -> dict[str, float]:
        """Returns the number of rows, and the sums of w, w * loss, w * y and w * p."""
        return {
            "rows": self.rows,
            "weight": self._weight,
            "loss": self._loss,
            "observed": self._observed,
            "predicted": self._predicted,
        }

    def log_loss(self) -> float:
        """Returns L in nats."""
        return self._loss / self._total()

    def observed_rate(self) -> float:
        """Returns q."""
        return self._observed / self._total()

    def predicted_rate(self) -> float:
        """Returns m."""
        return self._predicted / self._total()

    def normalized_entropy(self) -> float:
        """Returns L over the entropy of q."""
        rate = self.observed_rate()
        if not 0.0 < rate < 1.0:
            kind = "negative" if rate == 0.0 else "positive"
            raise Undefined(f"all rows are {kind}, so the observed rate has no entropy")
        entropy = -rate * math.log(rate) - (1.0 - rate) * math.log1p(-rate)
        return self.log_loss() / entropy

    def calibration(self) -> float:
        """Returns m / q."""
        if not self._observed:
            raise Undefined("no row is positive, so the observed rate is 0")
        return self._predicted / self._observed

    def calibration_error(self) -> float:
        """Returns the standard error of m / q."""
        if not self._observed:
            raise Undefined("no row is positive, so the observed rate is 0")
        return math.sqrt(self._squares) / self._observed

    def _total(self) -> float:
        if not self._weight:
            raise Undefined("there are no rows")
        return self._weight
