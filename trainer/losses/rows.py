"""The rows of a batch made ready for a ranking term, and weighted means over them."""

from typing import Any, NamedTuple

import tensorflow as tf

from trainer.losses.base import as_float32, row_mask, rows_left

__all__ = ["Rows", "clipped", "normalized", "ranking_rows", "weighted_mean"]

# Differences and sums of clipped logits stay finite, as do their means times B.
LARGEST_LOGIT = 1e30


class Rows(NamedTuple):
    """Rows to compute with; those masked out have logit, label and weight 0.

    Attributes:
        logits: float32 [B] or [B, 2], without the extremes of float32.
        labels: float32 [B].
        weights: float32 [B] up to a factor, the largest being 1; without a gradient.
        count: n, a float32 scalar.
    """

    logits: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor
    count: tf.Tensor


def ranking_rows(
    logits: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None,
    mask: tf.Tensor | None,
) -> Rows:
    """Returns what `Loss.per_example` is given, ready for a ranking term."""
    labels = as_float32(labels)
    left = row_mask(labels, mask)
    logits = as_float32(logits)
    wide = left[:, tf.newaxis] if logits.shape.rank == 2 else left
    if weights is None:
        weights = tf.ones_like(labels)
    weights = tf.where(left, as_float32(weights), tf.zeros_like(labels))
    return Rows(
        clipped(tf.where(wide, logits, tf.zeros_like(logits))),
        tf.where(left, labels, tf.zeros_like(labels)),
        tf.stop_gradient(_largest_one(weights)),
        rows_left(labels, mask),
    )


@tf.custom_gradient  # type: ignore[untyped-decorator]
def clipped(logits: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Clips the value and lets the gradient through: it is right beyond the limit."""
    return tf.clip_by_value(logits, -LARGEST_LOGIT, LARGEST_LOGIT), lambda dy: dy


def normalized(weights: tf.Tensor) -> tf.Tensor:
    """Returns weights that sum up to 1, or are all 0."""
    weights = _largest_one(weights)
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))


def weighted_mean(losses: tf.Tensor, weights: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns n w_i l_i / W: their sum over n is the weighted mean of the losses.

    Args:
        losses: float32 [B], finite.
        weights: float32 [B], 0 for rows that the mean is not over. Without any weight
            the mean is 0.
        count: n.
    """
    return losses * normalized(weights) * count


def _largest_one(weights: tf.Tensor) -> tf.Tensor:
    """Returns weights whose sum cannot overflow, and vanishes only if all do."""
    return tf.math.divide_no_nan(weights, tf.reduce_max(weights, keepdims=True))
