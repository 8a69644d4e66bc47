"""Clipping gradients to a limit of their common norm."""

from collections.abc import Sequence

import tensorflow as tf

__all__ = ["share_within", "square_norm"]


def square_norm(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum of the squares of all elements, [] float32."""
    if not gradients:
        return tf.zeros([])
    return 2.0 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients])


def share_within(limit: float, square: tf.Tensor) -> tf.Tensor:
    """Returns what gradients are multiplied with to have at most the norm `limit`.

    Args:
        limit: above 0.
        square: [] float32, their `square_norm`.

    Returns:
        [] float32; 1 for gradients within the limit.
    """
    return limit / tf.maximum(tf.sqrt(square), limit)
