"""Sums over all pairs of a positive and a negative row, in time O(P + Q).

Legend: P positives, Q negatives, B = P + Q rows, S cells (see `cells`), n nodes of a
window.

softplus(z_j - z_i) is smooth, its poles being at +-i pi, so inside a pair of windows of
logits it is the polynomial through a few nodes t_a, t_b of them:

    softplus(z_j - z_i) = sum_ab l_a(z_i) softplus(t_b - t_a) l_b(z_j),

l being Lagrange's polynomials. A sum over pairs takes three steps: the negatives'
weights are spread onto the nodes, h_b = sum_j v_j l_b(z_j); the nodes act on each
other, H_a = sum_b softplus(t_b - t_a) h_b; and each positive reads its sum between the
nodes, s_i = sum_a l_a(z_i) H_a. The gradient does the same with sigmoid, from negatives
to positives and back. At Chebyshev's nodes the error of a window of width w falls like
rho^-n with rho = exp(asinh(2 pi / w)).

One window over all logits would need 24 to 156 nodes for ranges from 8 to 60, however
many for outliers, and its error would be one relative to 1. With windows of a small
width the number of nodes follows from the range by itself, the nodes' actions on each
other are constants, and, sigmoid changing little within a window, the error is one
relative to each pair's own slope: the gradient is right even where all slopes are tiny.
Windows that are far apart act on each other exactly: softplus(x) and sigmoid(x) are x
and 1 to 16 digits at one side, and at the other less than float32 can hold.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.losses.cells import FAR, WIDTH, Cells, cells_of
from trainer.tiles import concat_tiles, sum_tiles, tiles_of

__all__ = ["ChebyshevPairs"]

# n: errors are below 1e-8, of the gradient relative to its largest entry.
NODES = 16
# Windows from which on softplus(x) = x: exp(-40) is less than float64 resolves.
LINEAR = 10
# Rows of a tile: 1 MiB of float64 for each [tile, n].
TILE = 2**13
# Cells times their neighbors in a tile: 4 MiB of float64 with their nodes.
NEIGHBORS = 2**15
# Added to differences so that none is 0; far below what any other is rounded by.
TINY = 1e-200


class ChebyshevPairs:
    """The pairs of rows in the same context.

    Args:
        positives: z_i, float64 [P].
        negatives: z_j, float64 [Q].
        positive_contexts: int32 [P], numbers from 0 on; the whole batch is one context
            unless given.
        negative_contexts: int32 [Q].
    """

    def __init__(
        self,
        positives: tf.Tensor,
        negatives: tf.Tensor,
        positive_contexts: tf.Tensor | None = None,
        negative_contexts: tf.Tensor | None = None,
    ) -> None:
        contexts = None
        if positive_contexts is not None and negative_contexts is not None:
            contexts = tf.concat([positive_contexts, negative_contexts], axis=0)
        logits = tf.concat([positives, negatives], axis=0)
        self._cells = cells_of(logits, contexts)
        columns = logits, self._cells.positions, self._cells.rows
        split = tf.size(positives)
        self._positives = _Rows(*(column[:split] for column in columns))
        self._negatives = _Rows(*(column[split:] for column in columns))

    def of_positives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_j v_j softplus(z_j - z_i), and the same of sigmoid.

        Args:
            weights: v_j, float64 [Q].

        Returns:
            float64 [P, 2].
        """
        moments = _spread(self._negatives, weights, self._cells)
        values = _interact(moments, self._cells, _kernel_of_negatives(), -FAR)
        far = _sums_above(self._negatives, weights, self._cells)
        far = tf.gather(far, self._positives.cells)
        # Of far pairs, sum_j v_j (z_j - z_i) and sum_j v_j.
        linear = far[:, 1] - far[:, 0] * self._positives.logits
        return _read(self._positives, values, 2) + tf.stack([linear, far[:, 0]], axis=1)

    def of_negatives(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns sum_i u_i sigmoid(z_j - z_i).

        Args:
            weights: u_i, float64 [P].

        Returns:
            float64 [Q].
        """
        moments = _spread(self._positives, weights, self._cells)
        values = _interact(moments, self._cells, _kernel_of_positives(), -LINEAR)
        far = _sums_below(self._positives, weights, self._cells)
        near = _read(self._negatives, values, 1)[:, 0]
        return near + tf.gather(far, self._negatives.cells)


class _Rows(NamedTuple):
    """Rows of one class: float64 [B] twice, and int32 [B]."""

    logits: tf.Tensor
    positions: tf.Tensor
    cells: tf.Tensor


def _spread(rows: _Rows, weights: tf.Tensor, cells: Cells) -> tf.Tensor:
    """Returns the moments of each cell, float64 [S, n]: sum_j v_j l_b(z_j)."""
    count = tf.size(cells.keys)

    def moments(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        shares, total = _shares(rows.positions[start:stop])
        scaled = shares * tf.math.divide_no_nan(weights[start:stop, tf.newaxis], total)
        return tf.math.unsorted_segment_sum(scaled, rows.cells[start:stop], count)

    size = tf.size(rows.positions)
    zeros = tf.zeros(tf.stack([count, NODES]), tf.float64)
    sums = sum_tiles(moments, zeros, count=size, stops=tiles_of(TILE, size))
    return sums * tf.constant(_node_weights())


def _read(rows: _Rows, values: tf.Tensor, kinds: int) -> tf.Tensor:
    """Returns sum_a l_a(z_i) H_a for each row, of `kinds` values H: float64 [B, kinds].

    Args:
        rows: of one class.
        values: H of all cells, float64 [S, kinds * n].
        kinds: how many there are at each node.
    """
    node_weights = tf.constant(np.tile(_node_weights(), kinds))

    def between(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        shares, total = _shares(rows.positions[start:stop])
        mine = tf.gather(weighted, rows.cells[start:stop])
        mine = tf.reshape(mine, (-1, kinds, NODES))
        return tf.linalg.matvec(mine, shares) / total

    weighted = values * node_weights
    size = tf.size(rows.positions)
    return concat_tiles(between, count=size, stops=tiles_of(TILE, size), shape=(kinds,))


def _shares(positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the barycentric form of Lagrange's polynomials: l_b(z) is the node's
    weight times the first, float64 [B, n], over the second, float64 [B, 1]."""
    differences = positions[:, tf.newaxis] - tf.constant(_nodes())
    # On a node the share is 1e200, and the quotient what it has to be: 1.
    shares = tf.math.reciprocal(differences + TINY)
    return shares, tf.matmul(shares, tf.constant(_node_weights()[:, np.newaxis]))


def _interact(
    moments: tf.Tensor, cells: Cells, kernel: npt.NDArray[np.float64], first: int
) -> tf.Tensor:
    """Lets the nodes of neighboring cells act on each other.

    Args:
        moments: float64 [S, n].
        cells: the cells.
        kernel: float64 [offsets, n, m], from the nodes of a cell that is so many
            windows higher to the values of a cell.
        first: the first offset of `kernel`; the others follow.

    Returns:
        float64 [S, m].
    """
    last = first + kernel.shape[0] - 1
    spread = tf.cast(tf.minimum(cells.spread, max(-first, last)), tf.int32)
    low, high = tf.maximum(first, -spread), tf.minimum(last, spread)
    matrix = tf.constant(kernel)[low - first : high - first + 1]
    matrix = tf.reshape(matrix, (-1, kernel.shape[2]))
    offsets = tf.cast(tf.range(low, high + 1), tf.int64)
    count = tf.size(cells.keys)
    padded = tf.concat([moments, tf.zeros([1, NODES], tf.float64)], axis=0)

    def act(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        wanted = cells.keys[start:stop, tf.newaxis] + offsets
        found = tf.searchsorted(cells.keys, tf.reshape(wanted, (-1,)))
        found = tf.reshape(tf.minimum(found, count - 1), tf.shape(wanted))
        there = tf.gather(cells.keys, found) == wanted
        neighbors = tf.gather(padded, tf.where(there, found, count))
        return tf.matmul(
            tf.reshape(neighbors, tf.stack([stop - start, NODES * tf.size(offsets)])),
            matrix,
        )

    size = tf.maximum(NEIGHBORS // tf.size(offsets), 1)
    return concat_tiles(
        act, count=count, stops=tiles_of(size, count), shape=(kernel.shape[2],)
    )


def _sums_above(rows: _Rows, weights: tf.Tensor, cells: Cells) -> tf.Tensor:
    """Returns for each cell, float64 [S, 2], the sums of v_j and of v_j z_j over the
    rows of its context that are more than `LINEAR` windows above it."""
    # Summed from above, so that logits of -1e30 leave the digits of others alone.
    terms = tf.stack([weights, weights * rows.logits], axis=1)
    terms = tf.math.unsorted_segment_sum(terms, rows.cells, tf.size(cells.keys))
    sums = tf.concat([tf.cumsum(terms, reverse=True), tf.zeros_like(terms[:1])], 0)
    first = tf.searchsorted(cells.keys, cells.keys + LINEAR + 1)
    end = tf.searchsorted(cells.keys, cells.ends)
    return tf.gather(sums, first) - tf.gather(sums, tf.maximum(first, end))


def _sums_below(rows: _Rows, weights: tf.Tensor, cells: Cells) -> tf.Tensor:
    """Returns for each cell, float64 [S], the sum of the weights of the rows of its
    context that are more than `LINEAR` windows below it."""
    terms = tf.math.unsorted_segment_sum(weights, rows.cells, tf.size(cells.keys))
    sums = tf.concat([tf.zeros([1], tf.float64), tf.cumsum(terms)], axis=0)
    start = tf.searchsorted(cells.keys, cells.starts)
    end = tf.searchsorted(cells.keys, cells.keys - LINEAR)
    return tf.gather(sums, tf.maximum(start, end)) - tf.gather(sums, start)


def _nodes() -> npt.NDArray[np.float64]:
    """Returns Chebyshev's nodes of the second kind in a window, [n]."""
    angles = np.pi * np.arange(NODES) / (NODES - 1)
    return np.asarray(WIDTH * (1.0 - np.cos(angles)) / 2.0)


def _node_weights() -> npt.NDArray[np.float64]:
    """Returns the barycentric weights of these nodes, [n]: 1 and -1 in turn, and half
    of that at the ends."""
    weights = (-1.0) ** np.arange(NODES)
    weights[[0, -1]] /= 2.0
    return weights


def _differences(first: int, last: int, sign: int) -> npt.NDArray[np.float64]:
    """Returns sign * (other node - own node), [offsets, others n, own n]."""
    offsets = WIDTH * np.arange(first, last + 1)[:, np.newaxis, np.newaxis]
    return sign * (offsets + _nodes()[:, np.newaxis] - _nodes())


@cache
def _kernel_of_negatives() -> npt.NDArray[np.float64]:
    """From negatives to positives: softplus and sigmoid."""
    differences = _differences(-FAR, LINEAR, 1)
    values, slopes = (np.logaddexp(0.0, sign * differences) for sign in (1.0, -1.0))
    return np.concatenate([values, np.exp(-slopes)], axis=2)


@cache
def _kernel_of_positives() -> npt.NDArray[np.float64]:
    """From positives to negatives: sigmoid."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -_differences(-LINEAR, FAR, -1))))
