"""Focal loss (Lin et al. 2017): rows that are nearly right count less."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from trainer.losses.base import Loss, apply_mask, as_float32

__all__ = ["Focal"]


@keras.saving.register_keras_serializable(package="pairstream")
class Focal(Loss):
    """-(1/n) sum_i w_i [ beta y_i (1-p_i)^g log p_i + (1-y_i) p_i^g log(1-p_i) ].

    The denominator is the number of rows. The gradient is that of the whole formula:
    it flows through the factors (1 - p)^g and p^g too. Not a proper loss: its best p is
    not the click rate, unless gamma is 0.

    Args:
        gamma: g, not negative; 0 gives the cross-entropy.
        beta: weight of positives.
    """

    in_batch: ClassVar[bool] = False

    def __init__(
        self,
        gamma: float = 2.0,
        beta: float = 1.0,
        *,
        name: str = "focal",
        **arguments: Any,
    ) -> None:
        super().__init__(name=name, **arguments)
        if not gamma >= 0.0:
            raise ValueError(f"gamma must not be negative, got {gamma}")
        if not beta > 0.0:
            raise ValueError(f"beta must be positive, got {beta}")
        self.gamma = gamma
        self.beta = beta

    def per_example(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the cross-entropy of each row times its focal factor."""
        del contexts  # A pointwise term.
        logits = apply_mask(as_float32(logits), mask)
        labels = apply_mask(as_float32(labels), mask)
        if weights is None:
            weights = tf.ones_like(logits)
        weights = apply_mask(as_float32(weights), mask)
        # (1 - p)^g and p^g from logarithms: exact where p rounds to 0 or 1.
        for_positives = tf.exp(-self.gamma * tf.nn.softplus(logits))
        for_negatives = self.negative_factors(
            tf.exp(-self.gamma * tf.nn.softplus(-logits)), weights * (1.0 - labels)
        )
        losses = self.beta * labels * for_positives * tf.nn.softplus(-logits)
        losses += (1.0 - labels) * for_negatives * tf.nn.softplus(logits)
        return apply_mask(losses * weights, mask)

    def negative_factors(self, powers: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns what negatives are multiplied with.

        Args:
            powers: p^g, float32 [B].
            weights: float32 [B], 0 for rows that are not negatives.
        """
        del weights
        return powers

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "gamma": self.gamma, "beta": self.beta}
