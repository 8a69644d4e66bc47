"""Blocks of rows whose members are each other's negatives.

Legend: T rows, G blocks, s members of the largest block.
"""

import tensorflow as tf

from trainer.collectives import Share

__all__ = ["group_members"]


def group_members(positions: tf.Tensor, share: Share, most: int) -> tf.Tensor:
    """Cuts the rows of each position into blocks of near-equal size.

    The blocks follow from the positions alone, not from whose rows they are: a block at
    the border between two replicas is given to both.

    Args:
        positions: int32 [T], not negative.
        share: the own rows.
        most: rows of a block, at most.

    Returns:
        int32 [G, s], the rows of the blocks that hold an own row; -1 behind the last
        one of a block. In a block rows have one position and ascend.
    """
    order = tf.argsort(positions, stable=True)
    blocks, slots = _blocks(tf.gather(positions, order), most)
    own = (order >= share.start) & (order < share.stop)
    count = tf.reduce_max(tf.concat([[-1], blocks], axis=0)) + 1
    asked = tf.math.unsorted_segment_sum(tf.cast(own, tf.int32), blocks, count) > 0
    numbers = tf.cumsum(tf.cast(asked, tf.int32), exclusive=True)
    kept = tf.gather(asked, blocks)
    order, blocks, slots = (tf.boolean_mask(x, kept) for x in (order, blocks, slots))
    shape = [
        tf.reduce_sum(tf.cast(asked, tf.int32)),
        tf.reduce_max(tf.concat([[0], slots + 1], axis=0)),
    ]
    places = tf.stack([tf.gather(numbers, blocks), slots], axis=1)
    return tf.scatter_nd(places, order + 1, shape) - 1


def _blocks(positions: tf.Tensor, most: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns block and place in it of each row, [T], for ascending positions."""
    rows = tf.range(tf.size(positions))
    kinds = tf.reduce_max(tf.concat([[-1], positions], axis=0)) + 1
    counts = tf.math.unsorted_segment_sum(tf.ones_like(positions), positions, kinds)
    numbers = (counts + most - 1) // most
    ranks = rows - tf.gather(tf.cumsum(counts, exclusive=True), positions)
    # int64, for ranks times numbers may go beyond 2^31.
    wide = tf.cast(ranks, tf.int64) * tf.cast(tf.gather(numbers, positions), tf.int64)
    places = tf.cast(wide // tf.cast(tf.gather(counts, positions), tf.int64), tf.int32)
    blocks = tf.gather(tf.cumsum(numbers, exclusive=True), positions) + places
    first = tf.math.unsorted_segment_min(rows, blocks, tf.reduce_sum(numbers))
    return blocks, rows - tf.gather(first, blocks)
