"""Rows grouped by context, and sums inside the groups, in O(B).

Legend: B rows of a batch, S contexts in it. No [B, B] mask is made.
"""

from typing import Any

import tensorflow as tf

__all__ = ["Segments", "contexts_with_pairs"]


class Segments:
    """The rows of a batch by context; without contexts the batch is one group.

    Args:
        contexts: int64 [B], any values in any order: equal values are one context.

    Attributes:
        indices: int32 [B], the context of each row as a number from 0 to S - 1; None
            where the whole batch is one context.
        count: S.
    """

    def __init__(self, contexts: tf.Tensor | None) -> None:
        self.indices: tf.Tensor | None = None
        self.count: tf.Tensor | int = 1
        if contexts is not None:
            distinct, self.indices = tf.unique(contexts)
            self.count = tf.size(distinct)

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [S, ...], the sums of `values` [B, ...] over each context."""
        if self.indices is None:
            return tf.reduce_sum(values, axis=0, keepdims=True)
        # Added one by one, where the line above adds in a tree: in float32 a context of
        # 100,000 rows would lose the fifth digit.
        wide = tf.cast(values, tf.float64) if values.dtype == tf.float32 else values
        total = tf.math.unsorted_segment_sum(wide, self.indices, self.count)
        return tf.cast(total, values.dtype)

    def maximum(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [S, ...], the largest of `values` [B, ...] in each context."""
        if self.indices is None:
            return tf.reduce_max(values, axis=0, keepdims=True)
        return tf.math.unsorted_segment_max(values, self.indices, self.count)

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Returns `values` [S, ...] at the rows: [B, ...], or [1, ...] if S is 1."""
        if self.indices is None:
            return values

        # TensorFlow's own gradient would add in float32.
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def gather(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
            return tf.gather(values, self.indices), self.sum

        return gather(values)

    def logsumexp(self, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns log sum_k w_k exp(v_k) over each context.

        Args:
            values: finite float [B] or [B, K].
            weights: [B] or [B, 1] of the same type, not negative; no gradient flows to
                them.

        Returns:
            [S] or [S, K]; 0, and no gradient, for a context without any weight.
        """
        # The largest term is 1 after the shift, whatever the weights: their logarithms
        # are shifted with the values. Rows without weight are kept from inf and NaN.
        heavy = weights > 0.0
        logs = tf.math.log(tf.where(heavy, weights, tf.ones_like(weights)))
        terms = tf.where(heavy, values + tf.stop_gradient(logs), values.dtype.min)
        shift = tf.stop_gradient(self.maximum(terms))
        shift = tf.where(shift > values.dtype.min, shift, tf.zeros_like(shift))
        shifted = tf.where(heavy, terms - self.spread(shift), tf.zeros_like(terms))
        total = self.sum(tf.where(heavy, tf.exp(shifted), tf.zeros_like(terms)))
        return shift + tf.math.log(tf.where(total > 0.0, total, tf.ones_like(total)))


def contexts_with_pairs(
    labels: tf.Tensor, weights: tf.Tensor, contexts: tf.Tensor | None
) -> tf.Tensor:
    """Returns the share of contexts that hold a positive and a negative row.

    Ranking terms learn from these contexts alone.

    Args:
        labels: float32 [B], 0 or 1.
        weights: float32 [B], 0 where masked out.
        contexts: int64 [B], or None if the whole batch is one.

    Returns:
        A float32 scalar from 0 to 1; contexts without weight do not count, and without
        any context the share is 0.
    """
    segments = Segments(contexts)
    heavy, positive = weights > 0.0, labels > 0.5

    def found(rows: tf.Tensor) -> tf.Tensor:
        return segments.sum(tf.cast(rows, tf.int32)) > 0

    both = found(heavy & positive) & found(heavy & ~positive)
    share = tf.reduce_sum(tf.cast(both, tf.float32))
    return tf.math.divide_no_nan(
        share, tf.reduce_sum(tf.cast(found(heavy), tf.float32))
    )
