"""RankNet over the pairs of a batch (Burges et al. 2005)."""

from typing import Any

import keras
import tensorflow as tf

from trainer.losses.base import Loss, apply_mask, as_float32, row_mask, rows_left
from trainer.losses.pairs import logistic_pair_sums

__all__ = ["RankNet"]

# Differences and sums of clipped logits stay finite; sigmoid is flat long before.
LARGEST_LOGIT = 1e30


@keras.saving.register_keras_serializable(package="pairstream")
class RankNet(Loss):
    """sum_{i in +} sum_{j in -} w_i w_j softplus(z_j - z_i) / (W+ W-).

    W+ and W- are the weights of the positives and of the negatives together; with
    contexts, W+ W- becomes the weight of the pairs inside a context. Without any pair
    the loss is 0. Pairs are those of this replica's batch.
    """

    def __init__(self, *, name: str = "ranknet", **arguments: Any) -> None:
        super().__init__(name=name, **arguments)

    def per_example(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns, for positives, n w_i sum_j w_j softplus(z_j - z_i) / (W+ W-)."""
        logits, labels = as_float32(logits), as_float32(labels)
        left = row_mask(logits, mask)
        positive = tf.where(left & (labels > 0.5))
        negative = tf.where(left & (labels <= 0.5))
        if weights is None:
            weights = tf.ones_like(logits)
        weights = tf.stop_gradient(weights)
        positive_weights = _normalized(tf.gather_nd(weights, positive))
        negative_weights = _normalized(tf.gather_nd(weights, negative))
        logits = _clipped(apply_mask(logits, mask))
        pair_contexts = []
        if contexts is not None:
            pair_contexts = [tf.gather_nd(contexts, i) for i in (positive, negative)]
        sums = logistic_pair_sums(
            tf.gather_nd(logits, positive),
            tf.gather_nd(logits, negative),
            negative_weights,
            *pair_contexts,
        )
        share = tf.constant(1.0)
        if contexts is not None:
            share = _weight_of_pairs(positive_weights, negative_weights, *pair_contexts)
        losses = tf.math.divide_no_nan(sums * positive_weights, share)
        losses *= rows_left(logits, mask)
        return tf.scatter_nd(positive, losses, tf.shape(logits, out_type=tf.int64))


def _normalized(weights: tf.Tensor) -> tf.Tensor:
    """Returns weights that sum up to 1, or are all 0."""
    weights = tf.math.divide_no_nan(weights, tf.reduce_max(weights, keepdims=True))
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _clipped(logits: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Clips the value and lets the gradient through: it is right beyond the limit."""
    return tf.clip_by_value(logits, -LARGEST_LOGIT, LARGEST_LOGIT), lambda dy: dy


def _weight_of_pairs(
    positive_weights: tf.Tensor,
    negative_weights: tf.Tensor,
    positive_contexts: tf.Tensor,
    negative_contexts: tf.Tensor,
) -> tf.Tensor:
    """Returns the sum of w_i w_j over the pairs inside a context, in O(P + Q)."""
    both = tf.concat([positive_contexts, negative_contexts], axis=0)
    distinct, segments = tf.unique(both)
    count, split = tf.size(distinct), tf.size(positive_contexts)
    positive = tf.math.unsorted_segment_sum(positive_weights, segments[:split], count)
    negative = tf.math.unsorted_segment_sum(negative_weights, segments[split:], count)
    return tf.reduce_sum(positive * negative)
