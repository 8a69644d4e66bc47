"""Binary cross-entropy."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from trainer.losses.base import Loss, apply_mask, as_float32

__all__ = ["BinaryCrossEntropy"]


@keras.saving.register_keras_serializable(package="pairstream")
class BinaryCrossEntropy(Loss):
    """-(1/n) sum_i w_i [ beta y_i log p_i + (1 - y_i) log(1 - p_i) ], p = sigmoid(z).

    The denominator is the number of rows, not the sum of their weights.

    Args:
        beta: weight of positives; below 1 it simulates sparser feedback.
    """

    in_batch: ClassVar[bool] = False

    def __init__(
        self, beta: float = 1.0, *, name: str = "bce", **arguments: Any
    ) -> None:
        super().__init__(name=name, **arguments)
        if not beta > 0.0:
            raise ValueError(f"beta must be positive, got {beta}")
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
        """Returns w_i [ beta y_i softplus(-z_i) + (1 - y_i) softplus(z_i) ]."""
        del contexts  # A pointwise term.
        logits = apply_mask(as_float32(logits), mask)
        labels = apply_mask(as_float32(labels), mask)
        if self.beta == 1.0:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        else:
            losses = tf.nn.weighted_cross_entropy_with_logits(
                labels, logits, pos_weight=self.beta
            )
        if weights is not None:
            losses *= as_float32(weights)
        return apply_mask(losses, mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "beta": self.beta}
