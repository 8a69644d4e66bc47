"""The order of rows inside a block: sorted by a hash, the same wherever it is run.

The hash is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014) in plain integer arithmetic, so that no version of a library
can change the order of a run that goes on.
"""

import tensorflow as tf

__all__ = ["contexts_together", "order_key", "shuffled"]

_MASK = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)


def order_key(seed: int, epoch: int) -> int:
    """Returns the key of an epoch's order, in [0, 2**64)."""
    return _mixed((_mixed(seed & _MASK) + epoch) & _MASK)


def shuffled(key: int, first: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns a permutation that is a function of the key and the rows' positions.

    Args:
        key: of the epoch, see `order_key`.
        first: int64 scalar: position in the epoch of the block's first row.
        rows: int32 scalar: rows of the block.

    Returns:
        int32 [rows]: which row of the block comes at each place.
    """
    positions = first + tf.range(tf.cast(rows, tf.int64))
    return _sorted_by(_hashes(key, positions))


def contexts_together(key: int, contexts: tf.Tensor) -> tf.Tensor:
    """Returns a permutation in which the rows of a context stay adjacent, in order.

    The contexts of the first and the last row keep the two ends of the block: rows of
    theirs may lie in the blocks before and after it.

    Args:
        key: of the epoch, see `order_key`.
        contexts: int64 [rows].

    Returns:
        int32 [rows]: which row of the block comes at each place.
    """
    hashes = tf.bitcast(_hashes(key, contexts), tf.uint64)
    # Without their upper bits they lie between the values of the two ends.
    hashes = tf.bitcast(
        tf.bitwise.right_shift(hashes, tf.constant(2, tf.uint64)), tf.int64
    )
    hashes = tf.where(contexts == contexts[-1:], tf.constant(-1, tf.int64), hashes)
    hashes = tf.where(contexts == contexts[:1], tf.int64.max, hashes)
    return _sorted_by(hashes)


def _sorted_by(hashes: tf.Tensor) -> tf.Tensor:
    # Of equal values, top_k returns the one with the lower index first.
    return tf.math.top_k(hashes, k=tf.size(hashes)).indices


def _hashes(key: int, values: tf.Tensor) -> tf.Tensor:
    """Returns int64 hashes of int64 values."""
    mixed = tf.bitcast(values, tf.uint64) + tf.constant(key, tf.uint64)
    mixed += tf.constant(_STEP, tf.uint64)
    for shift, factor in zip(_SHIFTS, (*_FACTORS, None), strict=True):
        shifted = tf.bitwise.right_shift(mixed, tf.constant(shift, tf.uint64))
        mixed = tf.bitwise.bitwise_xor(mixed, shifted)
        if factor is not None:
            mixed *= tf.constant(factor, tf.uint64)
    return tf.bitcast(mixed, tf.int64)


def _mixed(value: int) -> int:
    """Returns SplitMix64 of a number in [0, 2**64), in Python's integers."""
    value = (value + _STEP) & _MASK
    for shift, factor in zip(_SHIFTS, (*_FACTORS, 1), strict=True):
        value = (value ^ (value >> shift)) * factor & _MASK
    return value
