"""Softmax denominators over the similarities of vectors to each other.

Legend: B vectors, d width.

What `similarity` does for anchors and candidates that are the same vectors, each of
which meets all others. Their similarities are a symmetric matrix, of which half is
enough: it is made a slab of rows at a time, from the diagonal on, once for the sums and
once more for the gradient. That takes two thirds of the products, and as many
exponentials, as one pass over the whole matrix.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.similarity import sum_type
from trainer.tiles import no_parts

__all__ = ["log_sums_among"]

# Similarities of a slab: 8 MiB of float32.
SLAB = 2**21
# Rows of a slab. More waste the half of more squares on the diagonal, fewer add their
# share to the sums of all others too often.
FEWEST, MOST = 128, 512


def log_sums_among(
    vectors: tf.Tensor,
    *,
    factors: tf.Tensor,
    weights: tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """Returns f_i log sum_{j != i} v_j exp(x_i . x_j / temperature) for each vector i.

    Args:
        vectors: x, unit vectors or zeros, float32 [B, d].
        factors: f, float32 [B], without a gradient.
        weights: v, float32 [B], not negative, without a gradient.
        temperature: at least `similarity.LOWEST_TEMPERATURE`.

    Returns:
        float32 [B]; 0, and no gradient, where nothing of any weight is met.
    """
    dtype = sum_type(temperature)
    factors, weights = tf.cast(factors, dtype), tf.cast(weights, dtype)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def sums(vectors: tf.Tensor) -> tuple[tf.Tensor, Any]:
        matrix = _Powers(tf.cast(vectors, dtype), temperature)
        total = matrix.totals(weights)
        met = total > 0.0
        total = tf.where(met, total, tf.ones_like(total))
        logs = tf.where(met, factors * (tf.math.log(total) + 1.0 / temperature), 0.0)
        pulls = tf.where(met, factors, tf.zeros_like(factors)) / total

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            slopes = matrix.slopes(pulls * tf.cast(upstream, dtype), weights)
            return tf.cast(slopes, tf.float32)

        return tf.cast(logs, tf.float32), gradient

    return sums(vectors)


class _Powers:
    """The matrix of e_ij = exp((x_i . x_j - 1) / temperature), 0 for i = j.

    Args:
        vectors: x, float32 or float64 [B, d].
        temperature: the temperature.
    """

    def __init__(self, vectors: tf.Tensor, temperature: float) -> None:
        self._vectors = vectors
        self._temperature = temperature
        # One more column subtracts the bound from every product.
        ones = tf.ones_like(vectors[:, :1])
        self._queries = tf.concat([vectors, -ones], axis=1) / temperature
        self._keys = tf.concat([vectors, ones], axis=1)

    def totals(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_j e_ij v_j, [B].

        Args:
            weights: v, [B].
        """

        def part(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            powers = self._slab(start, stop)
            across = tf.linalg.matvec(powers, weights[start:])
            down = tf.linalg.matvec(powers, weights[start:stop], transpose_a=True)
            return tf.concat([across, down[stop - start :]], axis=0)

        return _over_slabs(part, weights[:0], tf.size(weights))

    def slopes(self, pulls: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_j (u_i v_j + u_j v_i) e_ij x_j / temperature, [B, d].

        Args:
            pulls: u, [B].
            weights: v, [B].
        """
        lefts = tf.stack([pulls, weights], axis=1)
        rights = tf.stack([weights, pulls], axis=1)

        def part(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            powers = self._slab(start, stop)
            powers *= tf.matmul(lefts[start:stop], rights[start:], transpose_b=True)
            across = tf.matmul(powers, self._vectors[start:])
            down = tf.matmul(powers, self._vectors[start:stop], transpose_a=True)
            return tf.concat([across, down[stop - start :]], axis=0)

        total = _over_slabs(part, self._vectors[:0], tf.size(weights))
        return total / self._temperature

    def _slab(self, start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        """Returns the rows from start to stop and the columns from `start` on."""
        powers = tf.matmul(self._queries[start:stop], self._keys[start:], False, True)
        powers = tf.exp(powers)
        places = tf.range(stop - start)
        own = tf.stack([places, places], axis=1)
        nothing = tf.zeros_like(places, dtype=powers.dtype)
        return tf.tensor_scatter_nd_update(powers, own, nothing)


def _over_slabs(
    part: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    empty: tf.Tensor,
    count: tf.Tensor,
) -> tf.Tensor:
    """Sums the parts of all slabs.

    Args:
        part: called as part(start, stop); returns what the slab of these rows adds to
            the rows from `start` on, [count - start, ...].
        empty: a result without rows, [0, ...].
        count: number of rows, int32.

    Returns:
        [count, ...].
    """
    shape = empty.shape[1:]

    def step(
        slab: tf.Tensor, start: tf.Tensor, opened: tf.Tensor, done: tf.TensorArray
    ) -> tuple[tf.Tensor, ...]:
        left = count - start
        rows = tf.clip_by_value(SLAB // tf.maximum(left, 1), FEWEST, MOST)
        rows = tf.minimum(rows, left)
        opened += part(start, start + rows)
        # A copy: a slice would keep all of the sums in memory.
        done = done.write(slab, tf.gather(opened, tf.range(rows)))
        return slab + 1, start + rows, opened[rows:], done

    # No rows: one slab of none, for an empty list of slabs has no shape.
    zeros = tf.zeros(tf.concat([[count], tf.shape(empty)[1:]], axis=0), empty.dtype)
    *_, done = tf.while_loop(
        lambda slab, start, *_: (start < count) | (slab == 0),
        step,
        (0, 0, zeros, no_parts(empty.dtype, tuple(shape))),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([]),
            tf.TensorShape([None, *shape]),
            tf.TensorShape(None),
        ),
        parallel_iterations=1,
    )
    return tf.reshape(done.concat(), tf.shape(zeros))
