"""Sums over all pairs of a positive and a negative row, one pair at a time.

Legend: P positives, Q negatives. Time is O(P Q), memory is not: positives are taken a
tile at a time against all negatives. For small batches this is the fastest way, and for
large ones it is what other ways are checked against.

Everything is computed in float64. In float32 a difference of logits of 60 is off by
2e-6, and where positives are far above negatives the gradient is off as much relative
to its largest entry, being an exponential of the difference.
"""

import tensorflow as tf

from trainer.tiles import concat_tiles, sum_tiles, tiles_of

__all__ = ["PairMatrix"]

# Pairs of a tile: 2 MiB of float64, which stays near the caches of a CPU.
TILE = 2**18


class PairMatrix:
    """All pairs.

    Args:
        positives: z_i, float64 [P].
        negatives: z_j, float64 [Q].
    """

    def __init__(self, positives: tf.Tensor, negatives: tf.Tensor) -> None:
        self._positives = positives
        self._negatives = negatives
        self._count = tf.size(positives)
        size = tf.maximum(TILE // tf.maximum(tf.size(negatives), 1), 1)
        self._stops = tiles_of(size, self._count)

    def of_positives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_j v_j softplus(z_j - z_i), and the same of sigmoid.

        Args:
            weights: v_j, float64 [Q].

        Returns:
            float64 [P, 2].
        """

        def sums(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            differences = self._differences(start, stop)
            kinds = tf.nn.softplus(differences), tf.sigmoid(differences)
            return tf.stack([tf.linalg.matvec(kind, weights) for kind in kinds], axis=1)

        return concat_tiles(sums, count=self._count, stops=self._stops, shape=(2,))

    def of_negatives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_i u_i sigmoid(z_j - z_i).

        Args:
            weights: u_i, float64 [P].

        Returns:
            float64 [Q].
        """

        def sums(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            slopes = tf.sigmoid(self._differences(start, stop))
            return tf.linalg.matvec(slopes, weights[start:stop], transpose_a=True)

        zeros = tf.zeros_like(self._negatives)
        return sum_tiles(sums, zeros, count=self._count, stops=self._stops)

    def _differences(self, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        return self._negatives - self._positives[start:stop, tf.newaxis]
