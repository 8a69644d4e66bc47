"""Sums over pairs of a positive and a negative row, in bounded memory.

Legend: P positives, Q negatives. No [B, B] matrix is made: positives are taken a tile
at a time against all negatives, forward and backward.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["logistic_pair_sums"]

# Pairs of a tile: 4 MiB of float32, which stays near the caches of a CPU.
TILE = 2**20


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

    def same_context(start: tf.Tensor, stop: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        if positive_contexts is None or negative_contexts is None:
            return values
        same = positive_contexts[start:stop, tf.newaxis] == negative_contexts
        return tf.where(same, values, tf.zeros_like(values))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sums(positives: tf.Tensor, negatives: tf.Tensor) -> tuple[tf.Tensor, Any]:
        def forward(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            values = tf.nn.softplus(negatives - positives[start:stop, tf.newaxis])
            return tf.linalg.matvec(same_context(start, stop, values), weights)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            def backward(
                start: tf.Tensor, stop: tf.Tensor, total: tf.Tensor
            ) -> tuple[tf.Tensor, tf.Tensor]:
                slopes = tf.sigmoid(negatives - positives[start:stop, tf.newaxis])
                slopes = same_context(start, stop, slopes)
                to_positives = -tf.linalg.matvec(slopes, weights)
                to_negatives = tf.linalg.matvec(
                    slopes, upstream[start:stop], transpose_a=True
                )
                return to_positives, total + to_negatives

            slopes, total = _tiles_with_total(backward, positives, negatives)
            return slopes * upstream, total * weights

        return _tiles(forward, positives, negatives), gradient

    return sums(positives, negatives)


def _tile_size(negatives: tf.Tensor) -> tf.Tensor:
    return tf.maximum(TILE // tf.maximum(tf.size(negatives), 1), 1)


def _tiles(
    function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    positives: tf.Tensor,
    negatives: tf.Tensor,
) -> tf.Tensor:
    """Concatenates `function(start, stop)` over tiles of the positives."""

    def with_total(
        start: tf.Tensor, stop: tf.Tensor, total: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return function(start, stop), total

    return _tiles_with_total(with_total, positives, negatives)[0]


def _tiles_with_total(
    function: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    positives: tf.Tensor,
    negatives: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `_tiles`, with a sum [Q] carried along."""
    count, size = tf.size(positives), _tile_size(negatives)
    parts = tf.TensorArray(
        tf.float32, size=0, dynamic_size=True, infer_shape=False, element_shape=[None]
    )

    def step(
        tile: tf.Tensor, start: tf.Tensor, parts: tf.TensorArray, total: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
        stop = tf.minimum(start + size, count)
        part, total = function(start, stop, total)
        return tile + 1, stop, parts.write(tile, part), total

    _, _, parts, total = tf.while_loop(
        # At least one tile, for an empty list of tiles has no type.
        lambda tile, start, parts, total: (start < count) | (tile == 0),
        step,
        (0, 0, parts, tf.zeros_like(negatives)),
        parallel_iterations=1,
    )
    return tf.reshape(parts.concat(), tf.shape(positives)), total
