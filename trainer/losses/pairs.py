"""Sums over pairs of a positive and a negative row, in the cheapest of three ways.

Legend: P positives, Q negatives. All ways are exact to what float32 resolves, and none
makes a [B, B] matrix. What they cost decides, at run time:

    PairMatrix      all pairs of a batch, in proportion to P Q
    PairLists       the pairs of many small contexts, in proportion to their number
    ChebyshevPairs  any, in proportion to P + Q
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tensorflow as tf

from trainer.losses.chebyshev import ChebyshevPairs
from trainer.losses.pair_lists import PairLists
from trainer.losses.pair_matrix import PairMatrix
from trainer.losses.segments import Segments

__all__ = ["logistic_pair_sums"]

# What interpolation costs, in pairs of a matrix, measured on a CPU: at the least, and
# for each row.
FIXED_COST = 50_000
ROW_COST = 10
# In pairs of a list, for each row.
LISTED_ROW_COST = 10


def logistic_pair_sums(
    positives: tf.Tensor,
    negatives: tf.Tensor,
    weights: tf.Tensor,
    positive_contexts: tf.Tensor | None = None,
    negative_contexts: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns s_i = sum_j v_j softplus(z_j - z_i) for each positive i.

    Args:
        positives: z_i, float32 [P].
        negatives: z_j, float32 [Q].
        weights: v_j, float32 [Q]; no gradient flows to them.
        positive_contexts: int64 [P], pairs are then formed inside a context only.
        negative_contexts: int64 [Q].

    Returns:
        float32 [P], differentiable once with respect to both kinds of logits.
    """
    weights = tf.cast(tf.stop_gradient(weights), tf.float64)
    if positive_contexts is None or negative_contexts is None:
        choice, ways = _whole_batch(tf.size(positives), tf.size(negatives))
    else:
        choice, ways = _inside_contexts(positive_contexts, negative_contexts)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sums(positives: tf.Tensor, negatives: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def chosen(function: Callable[["_Pairs"], tf.Tensor]) -> tf.Tensor:
            branches = [lambda w=way: function(w(positives, negatives)) for way in ways]
            return tf.switch_case(choice, branches)

        values, slopes = tf.unstack(chosen(lambda x: x.of_positives(weights)), axis=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            to_negatives = chosen(lambda pairs: pairs.of_negatives(upstream))
            return -slopes * upstream, weights * to_negatives

        return values, gradient

    values = sums(tf.cast(positives, tf.float64), tf.cast(negatives, tf.float64))
    return tf.cast(values, tf.float32)


class _Pairs(Protocol):
    def of_positives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_j v_j softplus(z_j - z_i), and the same of sigmoid: [P, 2]."""
        ...

    def of_negatives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_i u_i sigmoid(z_j - z_i): [Q]."""
        ...


_Way = Callable[[tf.Tensor, tf.Tensor], _Pairs]


def _whole_batch(
    positives: tf.Tensor, negatives: tf.Tensor
) -> tuple[tf.Tensor, Sequence[_Way]]:
    """Returns the ways to pair so many rows, and the index of the best."""
    positives, negatives = tf.cast(positives, tf.int64), tf.cast(negatives, tf.int64)
    dear = positives * negatives > FIXED_COST + ROW_COST * (positives + negatives)
    return tf.cast(dear, tf.int32), [PairMatrix, ChebyshevPairs]


def _inside_contexts(
    positives: tf.Tensor, negatives: tf.Tensor
) -> tuple[tf.Tensor, Sequence[_Way]]:
    """Returns the ways to pair rows of such contexts, and the index of the best.

    The pairs of small contexts are listed, in the others it is interpolated.
    """
    rows = tf.size(positives)
    segments = Segments(tf.concat([positives, negatives], axis=0))
    indices = tf.convert_to_tensor(segments.indices)
    first, second = indices[:rows], indices[rows:]
    counts = [
        tf.math.unsorted_segment_sum(tf.ones_like(i, tf.int64), i, segments.count)
        for i in (first, second)
    ]
    small = counts[0] * counts[1] <= LISTED_ROW_COST * (counts[0] + counts[1])
    choice = tf.where(tf.reduce_all(small), 0, tf.where(tf.reduce_any(small), 1, 2))

    def listed(positives: tf.Tensor, negatives: tf.Tensor) -> _Pairs:
        return PairLists(positives, negatives, first, second)

    def mixed(positives: tf.Tensor, negatives: tf.Tensor) -> _Pairs:
        return _SplitPairs(positives, negatives, first, second, small)

    def interpolated(positives: tf.Tensor, negatives: tf.Tensor) -> _Pairs:
        return ChebyshevPairs(positives, negatives, first, second)

    return choice, [listed, mixed, interpolated]


class _SplitPairs:
    """The pairs of small contexts listed, those of the others interpolated.

    Args:
        positives: float64 [P].
        negatives: float64 [Q].
        first: contexts of the positives as numbers from 0 on, int32 [P].
        second: those of the negatives, int32 [Q].
        small: bool [contexts].
    """

    def __init__(
        self,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
        small: tf.Tensor,
    ) -> None:
        self._parts: list[tuple[_Pairs, tf.Tensor, tf.Tensor]] = []
        self._sizes = tf.size(positives), tf.size(negatives)
        for kind, contexts in ((PairLists, small), (ChebyshevPairs, ~small)):
            i = tf.where(tf.gather(contexts, first))[:, 0]
            j = tf.where(tf.gather(contexts, second))[:, 0]
            pairs = kind(
                tf.gather(positives, i),
                tf.gather(negatives, j),
                tf.gather(first, i),
                tf.gather(second, j),
            )
            self._parts.append((pairs, i, j))

    def of_positives(self, weights: tf.Tensor) -> tf.Tensor:
        total = tf.zeros(tf.stack([self._sizes[0], 2]), tf.float64)
        for pairs, i, j in self._parts:
            part = pairs.of_positives(tf.gather(weights, j))
            total = tf.tensor_scatter_nd_update(total, i[:, tf.newaxis], part)
        return total

    def of_negatives(self, weights: tf.Tensor) -> tf.Tensor:
        total = tf.zeros(self._sizes[1], tf.float64)
        for pairs, i, j in self._parts:
            part = pairs.of_negatives(tf.gather(weights, i))
            total = tf.tensor_scatter_nd_update(total, j[:, tf.newaxis], part)
        return total
