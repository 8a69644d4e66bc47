"""Sums over the pairs inside contexts, from a list of the pairs.

Legend: P positives, Q negatives. Negatives are sorted by context, so the partners of a
positive are a range of them. The pairs are listed a tile of positives at a time, which
takes time in proportion to their number, and bounded memory.
"""

import tensorflow as tf

from trainer.tiles import concat_tiles, sum_tiles

__all__ = ["PairLists"]

# Pairs of a tile, where one positive does not have more of them: 1 MiB of float64.
TILE = 2**17


class PairLists:
    """The pairs of rows in the same context.

    Args:
        positives: z_i, float64 [P].
        negatives: z_j, float64 [Q].
        positive_contexts: int32 [P].
        negative_contexts: int32 [Q].
    """

    def __init__(
        self,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        positive_contexts: tf.Tensor,
        negative_contexts: tf.Tensor,
    ) -> None:
        self._order = tf.argsort(negative_contexts, stable=True)
        self._positives = positives
        self._negatives = tf.gather(negatives, self._order)
        ordered = tf.gather(negative_contexts, self._order)
        self._first = tf.searchsorted(ordered, positive_contexts, side="left")
        self._last = tf.searchsorted(ordered, positive_contexts, side="right")
        # Pairs before each positive, and all of them.
        partners = tf.cast(self._last - self._first, tf.int64)
        self._pairs = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(partners)], axis=0)
        self._count = tf.size(positives)

    def of_positives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_j v_j softplus(z_j - z_i), and the same of sigmoid.

        Args:
            weights: v_j, float64 [Q].

        Returns:
            float64 [P, 2].
        """
        weights = tf.gather(weights, self._order)

        def sums(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            i, j, differences = self._listed(start, stop)
            kinds = tf.nn.softplus(differences), tf.sigmoid(differences)
            weighted = tf.stack(kinds, axis=1) * tf.gather(weights, j)[:, tf.newaxis]
            return tf.math.unsorted_segment_sum(weighted, i, stop - start)

        return concat_tiles(sums, count=self._count, stops=self._stop, shape=(2,))

    def of_negatives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_i u_i sigmoid(z_j - z_i).

        Args:
            weights: u_i, float64 [P].

        Returns:
            float64 [Q].
        """
        size = tf.size(self._negatives)

        def sums(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            i, j, differences = self._listed(start, stop)
            weighted = tf.sigmoid(differences) * tf.gather(weights[start:stop], i)
            return tf.math.unsorted_segment_sum(weighted, j, size)

        zeros = tf.zeros_like(self._negatives)
        ordered = sum_tiles(sums, zeros, count=self._count, stops=self._stop)
        return tf.gather(ordered, tf.math.invert_permutation(self._order))

    def _stop(self, start: tf.Tensor) -> tf.Tensor:
        """Ends a tile before its pairs are too many, but not before one positive."""
        limit = self._pairs[start] + TILE
        stop = tf.searchsorted(self._pairs, [limit], side="right")[0] - 1
        return tf.minimum(tf.maximum(stop, start + 1), self._count)

    def _listed(
        self, start: tf.Tensor, stop: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the two rows of each pair, the first counted from `start` and the
        second in the order of contexts; and z_j - z_i."""
        partners = tf.ragged.range(self._first[start:stop], self._last[start:stop])
        i, j = tf.cast(partners.value_rowids(), tf.int32), partners.flat_values
        here = self._positives[start:stop]
        return i, j, tf.gather(self._negatives, j) - tf.gather(here, i)
