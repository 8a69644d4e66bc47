"""RankNet over the pairs of a batch (Burges et al. 2005)."""

from typing import Any

import keras
import tensorflow as tf

from trainer.losses.base import Loss
from trainer.losses.pairs import logistic_pair_sums
from trainer.losses.rows import normalized, ranking_rows
from trainer.losses.segments import Segments

__all__ = ["RankNet"]


@keras.saving.register_keras_serializable(package="pairstream")
class RankNet(Loss):
    """sum_{i in +} sum_{j in -} w_i w_j softplus(z_j - z_i) / (W+ W-).

    W+ and W- are the weights of the positives and of the negatives together; with
    contexts, W+ W- becomes the weight of the pairs inside a context. Without any pair
    the loss is 0. All pairs of the batch count, in time O(B).
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
        rows = ranking_rows(logits, labels, weights, mask)
        # Rows without weight form no pairs; among them are those masked out.
        heavy, positive = rows.weights > 0.0, rows.labels > 0.5
        above = tf.where(heavy & positive)[:, 0]
        below = tf.where(heavy & ~positive)[:, 0]
        above_weights = normalized(tf.gather(rows.weights, above))
        below_weights = normalized(tf.gather(rows.weights, below))
        groups = []
        if contexts is not None:
            groups = [tf.gather(contexts, above), tf.gather(contexts, below)]
        sums = logistic_pair_sums(
            tf.gather(rows.logits, above),
            tf.gather(rows.logits, below),
            below_weights,
            *groups,
        )
        losses = rows.count * sums * above_weights
        if contexts is not None:
            share = _weight_of_pairs(above_weights, below_weights, *groups)
            losses = tf.math.divide_no_nan(losses, share)
        shape = tf.shape(rows.labels, out_type=tf.int64)
        return tf.scatter_nd(above[:, tf.newaxis], losses, shape)


def _weight_of_pairs(
    above_weights: tf.Tensor,
    below_weights: tf.Tensor,
    above: tf.Tensor,
    below: tf.Tensor,
) -> tf.Tensor:
    """Returns the sum of w_i w_j over the pairs inside a context, in O(P + Q).

    Args:
        above_weights: float32 [P], of the positives.
        below_weights: float32 [Q], of the negatives.
        above: contexts of the positives, int64 [P].
        below: contexts of the negatives, int64 [Q].
    """
    segments = Segments(tf.concat([above, below], axis=0))
    above_sums, below_sums = (
        segments.sum(tf.concat(parts, axis=0))
        for parts in (
            (above_weights, tf.zeros_like(below_weights)),
            (tf.zeros_like(above_weights), below_weights),
        )
    )
    return tf.reduce_sum(above_sums * below_sums)
