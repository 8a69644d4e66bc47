"""Rows sorted into cells: a context each, and a window of logits.

Legend: B rows, S cells that hold a row. Windows have one width and start at its
multiples. Only cells that hold rows exist, so neither a wide range of logits nor many
contexts take memory, and where logits are a long way apart the windows between them
are not counted: a distance of more than `FAR` windows stays one of more than `FAR`.
"""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["FAR", "WIDTH", "Cells", "cells_of"]

# Of a window, in logits. A power of 2, so that positions in windows are exact.
WIDTH = 4.0
# Windows. Differences of more logits have slopes that float32 cannot hold (e^-88).
FAR = 22


class Cells(NamedTuple):
    """The cells of the rows.

    Attributes:
        keys: int64 [S], ascending; those of neighbors in one context differ by 1, and
            those of two contexts by more than `FAR`.
        starts: int64 [S], a key that no cell of the cell's context is below.
        ends: int64 [S], a key that all cells of the cell's context are below.
        rows: int32 [B], the cell of each row.
        positions: float64 [B], of the rows in their windows, from 0 to `WIDTH`.
        spread: an int64 scalar, no two windows are further apart.
    """

    keys: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor
    rows: tf.Tensor
    positions: tf.Tensor
    spread: tf.Tensor


def cells_of(logits: tf.Tensor, contexts: tf.Tensor | None) -> Cells:
    """Returns the cells of rows.

    Args:
        logits: float64 [B]. Those that are not finite get some cell.
        contexts: int32 [B], numbers from 0 on; None if all rows share one.
    """
    windows = tf.floor(logits / WIDTH)
    positions = logits - WIDTH * windows
    windows = tf.where(tf.math.is_finite(windows), windows, tf.zeros_like(windows))
    distinct, rows = _sorted_unique(windows)
    # In float64, for logits may be larger than any integer.
    gaps = tf.minimum(distinct[1:] - distinct[:-1], FAR + 1.0)
    gaps = tf.concat([tf.zeros_like(distinct[:1]), gaps], axis=0)
    keys = tf.cumsum(tf.cast(gaps, tf.int64))
    spread = tf.reduce_sum(keys[-1:])
    stride = spread + FAR + 1
    if contexts is not None:
        keys = tf.gather(keys, rows) + stride * tf.cast(contexts, tf.int64)
        keys, rows = _sorted_unique(keys)
    starts = keys // stride * stride
    return Cells(keys, starts, starts + stride, rows, positions, spread)


def _sorted_unique(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the distinct values in ascending order, and where each value is."""
    distinct, indices = tf.unique(values)
    order = tf.argsort(distinct)
    places = tf.math.invert_permutation(order)
    return tf.gather(distinct, order), tf.gather(places, indices)
