"""PWiseR: converted rows above clicked and not clicked ones (Durmus et al.)."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from trainer.losses.base import Loss, as_float32
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.hinges import squared_hinge_sums
from trainer.losses.rows import Rows, normalized, ranking_rows
from trainer.losses.segments import Segments

__all__ = ["PWiseR"]


@keras.saving.register_keras_serializable(package="pairstream")
class PWiseR(Loss):
    """BCE + strength * [ R(clicked only, m1) + R(not clicked, m2) ].

    R(group, m) = sum w_c w_k max(0, m - (p_c - p_k))^2 / sum w_c w_k, over the pairs of
    a converted row c and a row k of the group, p the probability of a click. With
    contexts the pairs are those inside a context; a group without any pair gives 0. A
    converted row is in neither group, whether or not its click was logged. The pair
    terms are spread over the rows k. All pairs are summed, exactly, by one sort.

    Conversions form the groups alone, so the loss serves a model of clicks as well as
    one of clicks and conversions. Margins are in probabilities: at small click rates
    they are never met, and the term biases the probabilities upward and apart. Under
    down-sampling p has to be the true probability, rows weighing 1/r.

    Args:
        strength: lambda, the weight of the pair terms.
        conversion_margin: m1, from 0 to 1, of converted over clicked-only rows.
        click_margin: m2, from 0 to 1, of converted over rows that were not clicked.
        beta: weight of positives in the cross-entropy.
    """

    extras: ClassVar[tuple[str, ...]] = ("conversions",)
    true_logits: ClassVar[bool] = True

    def __init__(
        self,
        strength: float = 0.3,
        conversion_margin: float = 0.3,
        click_margin: float = 0.1,
        beta: float = 1.0,
        *,
        name: str = "pwiser",
        **arguments: Any,
    ) -> None:
        super().__init__(name=name, **arguments)
        if not strength >= 0.0:
            raise ValueError(f"strength must not be negative, got {strength}")
        margins = {"conversion_margin": conversion_margin, "click_margin": click_margin}
        for argument, margin in margins.items():
            if not 0.0 <= margin <= 1.0:
                raise ValueError(f"{argument} must lie in [0, 1], got {margin}")
        self.strength = strength
        self.conversion_margin = conversion_margin
        self.click_margin = click_margin
        self.beta = beta
        self._cross_entropy = BinaryCrossEntropy(beta)

    def per_example(  # type: ignore[override]
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        conversions: tf.Tensor,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the cross-entropy of each row and its share of the pair terms.

        Args:
            logits: of a click, as in `Loss.per_example`.
            labels: clicks.
            conversions: [B], 0 or 1.
            weights: as in `Loss.per_example`.
            mask: as in `Loss.per_example`.
            contexts: as in `Loss.per_example`.
        """
        losses = self._cross_entropy.per_example(
            logits, labels, weights=weights, mask=mask
        )
        if self.strength == 0.0:
            return losses
        rows = ranking_rows(logits, labels, weights, mask)
        pairs = self._pairs(rows, as_float32(conversions) > 0.5, Segments(contexts))
        return losses + self.strength * pairs

    def _pairs(self, rows: Rows, converted: tf.Tensor, segments: Segments) -> tf.Tensor:
        """Returns n times the pair terms, spread over the rows that are not converted.

        Args:
            rows: of the batch.
            converted: bool [B].
            segments: the contexts of the rows.
        """
        clicked = rows.labels > 0.5
        # Sums of squares are taken from one another, which float32 has no digits for.
        probabilities = tf.sigmoid(tf.cast(rows.logits, tf.float64))
        weights = tf.cast(rows.weights, tf.float64)
        higher = _of(weights, converted)
        shares = tf.zeros_like(weights)
        for group in (clicked & ~converted, ~clicked & ~converted):
            lower = _of(weights, group)
            pairs = tf.reduce_sum(segments.sum(higher) * segments.sum(lower))
            shares += tf.math.divide_no_nan(lower, pairs)
        margins = tf.where(
            clicked,
            tf.constant(self.conversion_margin, tf.float64),
            tf.constant(self.click_margin, tf.float64),
        )
        sums = squared_hinge_sums(probabilities, margins, higher, segments)
        return as_float32(shares * sums) * rows.count

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "strength": self.strength,
            "conversion_margin": self.conversion_margin,
            "click_margin": self.click_margin,
            "beta": self.beta,
        }


def _of(weights: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
    """Returns the weights of a group as parts of 1, and 0 for all other rows."""
    return normalized(tf.where(group, weights, tf.zeros_like(weights)))
