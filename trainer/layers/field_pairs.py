"""Products of pairs of fields.

Legend: B batch, F fields, d their width, P parts. All sums are taken in float32: what
is left of the square of a sum is a small difference of large numbers.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

__all__ = ["PartPairs", "WeightedPairs", "inner_products", "sum_of_pairs"]


def sum_of_pairs(fields: tf.Tensor) -> tf.Tensor:
    """Returns sum_{i<j} <v_i, v_j> = (|sum v|^2 - sum |v|^2) / 2, float32 [B, 1], of
    the fields v, float32 [B, F, d] (Rendle 2010)."""
    fields = tf.cast(fields, tf.float32)
    of_sum = tf.square(tf.reduce_sum(fields, axis=1))
    squares = tf.reduce_sum(tf.square(fields), axis=1)
    return 0.5 * tf.reduce_sum(of_sum - squares, axis=1, keepdims=True)


def inner_products(fields: tf.Tensor) -> tf.Tensor:
    """Returns <v_i, v_j> for each i < j, float32 [B, F (F - 1) / 2], row by row.

    tensorflow-recommenders' `DotInteraction` picks them by a boolean mask of the size
    of all products, which XLA cannot compile; here their places are known beforehand.
    """
    count = int(fields.shape[1])
    rows, columns = np.triu_indices(count, 1)
    products = tf.matmul(fields, fields, transpose_b=True)
    flat = tf.reshape(products, (-1, count * count))
    return tf.gather(flat, rows * count + columns, axis=1)


class WeightedPairs(keras.layers.Layer):  # type: ignore[misc]
    """sum_{i<j} r_ij <v_i, v_j> (FwFM, Pan et al. 2018). All r start at 1, as an FM.

    Args:
        count: F.
    """

    def __init__(self, count: int, *, name: str) -> None:
        super().__init__(name=name)
        rows, columns = np.triu_indices(count, 1)
        self._weights = self.add_weight(
            name="weights", shape=(len(rows),), initializer="ones"
        )
        # Place 0 is a zero before the weights.
        places = np.zeros((count, count), np.int32)
        places[rows, columns] = np.arange(1, len(rows) + 1)
        self._places = places
        self.built = True

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, F, d] to [B, 1]."""
        fields = tf.cast(fields, tf.float32)
        weights = tf.cast(self._weights.value, tf.float32)
        matrix = tf.gather(tf.concat([[0.0], weights], axis=0), self._places)
        met = tf.einsum("ij,bjd->bid", matrix, fields)
        return tf.reduce_sum(fields * met, axis=(1, 2))[:, tf.newaxis]


class PartPairs(keras.layers.Layer):  # type: ignore[misc]
    """sum_{i<j} r_{p(i) p(j)} v_{i,p(j)} * v_{j,p(i)} (GwPFM, Pan et al. 2024).

    A field has a vector for each part that the other field may be of. Sums over parts
    first: a pair of parts costs as much as two fields. All r start at 1.

    Args:
        part: the part p of each field, from 0.
    """

    def __init__(self, part: Sequence[int], *, name: str) -> None:
        super().__init__(name=name)
        self._count = max(part) + 1
        self._member = np.eye(self._count, dtype=np.float32)[list(part)]
        rows, columns = np.triu_indices(self._count)
        # A part with one field has no pair inside, and its weight would be idle.
        alone = self._member.sum(axis=0)[rows] < 2
        kept = ~((rows == columns) & alone)
        self._rows, self._columns = rows[kept], columns[kept]
        self._weights = self.add_weight(
            name="weights", shape=(int(kept.sum()),), initializer="ones"
        )
        self.built = True

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, F, P * d], the vectors for all parts side by side, to the
        sum over pairs of elementwise products [B, d]."""
        fields = tf.cast(fields, tf.float32)
        count, width = len(self._member), int(fields.shape[2]) // self._count
        fields = tf.reshape(fields, (-1, count, self._count, width))
        # What part p has for part q, [B, P, P, d].
        sums = tf.einsum("fp,bfqd->bpqd", self._member, fields)
        products = sums * tf.transpose(sums, (0, 2, 1, 3))
        own = tf.einsum("fp,bfpd->bpd", self._member, tf.square(fields))
        squares = tf.einsum("bpd,pq->bpqd", own, tf.eye(self._count))
        halves = 1.0 - 0.5 * tf.eye(self._count)
        pairs = (products - squares) * halves[:, :, tf.newaxis]
        flat = tf.reshape(pairs, (-1, self._count * self._count, width))
        chosen = tf.gather(flat, self._rows * self._count + self._columns, axis=1)
        weights = tf.cast(self._weights.value, tf.float32)
        return tf.einsum("k,bkd->bd", weights, chosen)
