"""Focal': the focal loss whose negatives weigh 1 on average (KDD 2024, eq. 16)."""

from typing import Any, ClassVar

import keras
import tensorflow as tf

from trainer.losses.focal import Focal
from trainer.losses.rows import normalized

__all__ = ["BalancedFocal"]


@keras.saving.register_keras_serializable(package="pairstream")
class BalancedFocal(Focal):
    """As Focal, the negatives' factor being p^g + 1 - mean over negatives of p^g.

    The mean, weighted by w, is over all negatives of the batch, whatever their context:
    it normalizes a pointwise loss and ranks nothing. So the loss of a row depends on
    the other rows, and the gradient flows through the mean as through the factor.

    Args:
        gamma: g, not negative; 0 gives the cross-entropy.
        beta: weight of positives.
    """

    in_batch: ClassVar[bool] = True

    def __init__(
        self,
        gamma: float = 2.0,
        beta: float = 1.0,
        *,
        name: str = "focal_balanced",
        **arguments: Any,
    ) -> None:
        super().__init__(gamma, beta, name=name, **arguments)

    def negative_factors(self, powers: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns p^g + 1 - mean over negatives of p^g."""
        shares = tf.stop_gradient(normalized(weights))
        return powers + 1.0 - tf.reduce_sum(shares * powers)
