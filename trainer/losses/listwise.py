"""Softmax over the rows of a context, the core of the list-wise losses."""

import tensorflow as tf

from trainer.losses.segments import Segments

__all__ = ["softmax_losses"]


def softmax_losses(
    scores: tf.Tensor, weights: tf.Tensor, segments: Segments
) -> tf.Tensor:
    """Returns -log( exp(s_i) / sum_k v_k exp(s_k) ) for each row i.

    The sum is over the rows of i's context, and v_k is w_k over the mean weight of the
    rows with any weight there: so rows of equal weight give the plain softmax, the
    scale of the weights has no effect, and a row without weight is as if masked out.
    The gradient is that of raw weights w_k, which add no more than a constant.

    Args:
        scores: float32 [B], or [B, K] for K softmaxes side by side.
        weights: float32 [B], 0 where masked out, without the extremes of float32.
        segments: the contexts of the rows.

    Returns:
        As `scores`, finite; without a meaning for rows without weight.
    """
    heavy = segments.sum(tf.cast(weights > 0.0, weights.dtype))
    mean = tf.math.divide_no_nan(segments.sum(weights), heavy)
    relative = tf.math.divide_no_nan(weights, segments.spread(mean))
    if scores.shape.rank == 2:
        relative = relative[:, tf.newaxis]
    return segments.spread(segments.logsumexp(scores, relative)) - scores
