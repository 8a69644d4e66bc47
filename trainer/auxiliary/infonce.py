"""Symmetric InfoNCE inside groups, whose members are each other's negatives.

Legend: d width, G groups, s members of a group.
"""

from typing import Any

import tensorflow as tf

from trainer.auxiliary.large_groups import Group, large_group
from trainer.similarity import sum_type

__all__ = ["symmetric_info_nce_sum"]

# Similarities of a tile: 8 MiB of float32. Groups with more go through it in slabs of
# rows, but not fewer than so many.
TILE = 2**21
FEWEST_ROWS = 128


def symmetric_info_nce_sum(
    anchors: tf.Tensor,
    targets: tf.Tensor,
    valid: tf.Tensor,
    counted: tf.Tensor,
    target_ids: tf.Tensor | None,
    anchor_ids: tf.Tensor | None,
    temperature: float,
) -> tf.Tensor:
    """Returns the sum over all counted members i of all groups of

        -log( e(i, i) / sum_j e(i, j) ) - log( e(i, i) / sum_j e(j, i) ),

    with e(i, j) = exp(a_i . t_j / temperature) and j over the valid members of i's
    group. Left out of the first sum are the j that have the target id of i, out of the
    second those that have its anchor id (i itself always stays).

    Both directions share one matrix, and value and gradient come from one pass over
    tiles of groups. Groups of more than 1,448 members are taken one by one, in two
    passes over slabs of rows. So memory grows neither with the number of groups nor
    with the square of their members. Similarities are bounded by 1 / temperature, which
    stands in for the maximum in the exponent.

    Args:
        anchors: a, unit vectors or zeros, float32 [G, s, d].
        targets: t, likewise.
        valid: bool [G, s], the members that there are.
        counted: bool [G, s], those that the sum is over: valid ones.
        target_ids: integers [G, s], or None to leave out nobody.
        anchor_ids: integers [G, s], or None.
        temperature: at least 0.003.
    """
    dtype = sum_type(temperature)

    def slopes(
        start: tf.Tensor, stop: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Loss of the groups from start to stop, and its two gradients."""
        # Zeroed here, invalid members drop out of all products with a and t.
        here = tf.cast(valid[start:stop], dtype)[:, :, tf.newaxis]
        a = tf.cast(anchors[start:stop], dtype) * here / temperature
        t = tf.cast(targets[start:stop], dtype) * here
        # One more column subtracts the bound from every product.
        bound = tf.fill(tf.shape(here), tf.constant(-1.0 / temperature, dtype))
        powers = tf.exp(
            tf.matmul(
                tf.concat([a, bound], 2),
                tf.concat([t, tf.ones_like(bound)], 2),
                transpose_b=True,
            )
        )
        positive = tf.reduce_sum(a * t, axis=2, keepdims=True)
        own = tf.exp(positive + bound)
        forth, forth_own = _without_same(powers, own, target_ids, start, stop)
        back, back_own = _without_same(powers, own, anchor_ids, start, stop)
        from_targets = tf.matmul(forth, tf.concat([t, here], 2))
        from_anchors = tf.matmul(back, tf.concat([a, here], 2), transpose_a=True)
        # Zero for members that do not count, which turns their shares off.
        asks = tf.cast(counted[start:stop], dtype)[:, :, tf.newaxis]
        per_anchor = _inverse(from_targets[:, :, -1:] + forth_own, asks)
        per_target = _inverse(from_anchors[:, :, -1:] + back_own, asks)
        logs = _minus_log(per_anchor) + _minus_log(per_target) - 2.0 * bound
        loss = tf.reduce_sum(asks * (logs - 2.0 * positive))
        pull = forth_own * per_anchor + back_own * per_target - 2.0 * asks
        to_anchors = from_targets[:, :, :-1] * per_anchor + pull * t
        to_anchors += tf.matmul(back, t * per_target)
        to_targets = from_anchors[:, :, :-1] * per_target + pull * a
        to_targets += tf.matmul(forth, a * per_anchor, transpose_a=True)
        results = (loss, to_anchors * here / temperature, to_targets * here)
        loss, to_anchors, to_targets = (tf.cast(x, tf.float32) for x in results)
        return loss, to_anchors, to_targets

    def slopes_by_rows(
        start: tf.Tensor, stop: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The same for one group, without the whole of its matrix."""
        del stop
        here = tf.cast(valid[start], dtype)
        wide = here[:, tf.newaxis]
        group = Group(
            tf.cast(anchors[start], dtype) * wide / temperature,
            tf.cast(targets[start], dtype) * wide,
            here,
            tf.cast(counted[start], dtype),
            None if target_ids is None else target_ids[start],
            None if anchor_ids is None else anchor_ids[start],
            1.0 / temperature,
        )
        rows = tf.maximum(TILE // tf.size(here), FEWEST_ROWS)
        loss, to_anchors, to_targets = large_group(group, rows)
        results = (loss, to_anchors * wide / temperature, to_targets * wide)
        loss, *gradients = (tf.cast(x, tf.float32) for x in results)
        to_anchors, to_targets = (x[tf.newaxis] for x in gradients)
        return loss, to_anchors, to_targets

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss_of(anchors: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, Any]:
        groups, members = tf.shape(anchors)[0], tf.shape(anchors)[1]
        loss, to_anchors, to_targets = tf.cond(
            (groups > 0) & (members > tf.maximum(TILE // tf.maximum(members, 1), 1)),
            lambda: _over_tiles(slopes_by_rows, anchors),
            lambda: _over_tiles(slopes, anchors),
        )

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return upstream * to_anchors, upstream * to_targets

        return loss, gradient

    return loss_of(anchors, targets)


def _without_same(
    powers: tf.Tensor,
    own: tf.Tensor,
    ids: tf.Tensor | None,
    start: tf.Tensor,
    stop: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `powers` [G, s, s] with 0 where both members have the same id, the
    diagonal among these; and the diagonal [G, s, 1] that is missing therefore."""
    if ids is None:
        return powers, tf.zeros_like(own)
    ids = ids[start:stop]
    other = ids[:, :, tf.newaxis] != ids[:, tf.newaxis, :]
    return tf.where(other, powers, tf.zeros_like(powers)), own


def _inverse(values: tf.Tensor, here: tf.Tensor) -> tf.Tensor:
    return here / tf.where(here > 0.0, values, tf.ones_like(values))


def _minus_log(values: tf.Tensor) -> tf.Tensor:
    return -tf.math.log(tf.where(values > 0.0, values, tf.ones_like(values)))


def _over_tiles(
    function: Any, anchors: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sums the first and concatenates the other results over tiles of the groups."""
    count, members = tf.shape(anchors)[0], tf.shape(anchors)[1]
    size = tf.maximum(TILE // tf.maximum(members * members, 1), 1)
    arrays = [
        tf.TensorArray(
            tf.float32,
            size=0,
            dynamic_size=True,
            infer_shape=False,
            element_shape=[None, None, anchors.shape[2]],
        )
        for _ in range(2)
    ]

    def step(
        tile: tf.Tensor,
        start: tf.Tensor,
        total: tf.Tensor,
        left: tf.TensorArray,
        right: tf.TensorArray,
    ) -> tuple[Any, ...]:
        stop = tf.minimum(start + size, count)
        loss, to_anchors, to_targets = function(start, stop)
        return (
            tile + 1,
            stop,
            total + loss,
            left.write(tile, to_anchors),
            right.write(tile, to_targets),
        )

    _, _, total, left, right = tf.while_loop(
        # At least one tile, for an empty list of tiles has no shape.
        lambda tile, start, *_: (start < count) | (tile == 0),
        step,
        (0, 0, tf.constant(0.0), *arrays),
        parallel_iterations=1,
    )
    shape = tf.shape(anchors)
    return (
        total,
        tf.reshape(left.concat(), shape),
        tf.reshape(right.concat(), shape),
    )
