"""Symmetric InfoNCE of a group that is too large for one matrix.

Legend: s members of the group, r of them in a slab, d width.

Whose sum runs over a column of the matrix cannot be known before all rows are seen. So
slabs of rows are made twice: for the sums of rows and columns, and for the gradients.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

__all__ = ["Group", "large_group"]


class Group(NamedTuple):
    """The members of one group; those who are not valid have zero vectors.

    Attributes:
        anchors: a over the temperature, float32 or float64 [s, d].
        targets: t, [s, d].
        valid: 1 or 0, [s].
        counted: 1 or 0, [s].
        target_ids: integers [s], or None.
        anchor_ids: integers [s], or None.
        bound: of the products of a and t, a number.
    """

    anchors: tf.Tensor
    targets: tf.Tensor
    valid: tf.Tensor
    counted: tf.Tensor
    target_ids: tf.Tensor | None
    anchor_ids: tf.Tensor | None
    bound: float


def large_group(group: Group, rows: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the loss of a group, and its gradients by a and by t, [s, d].

    Args:
        group: the group.
        rows: r, of a slab: memory is in proportion to r s.
    """
    count = tf.size(group.valid)
    zeros = tf.zeros_like(group.valid)

    def add_sums(
        start: tf.Tensor, stop: tf.Tensor, *sums: tf.Tensor
    ) -> list[tf.Tensor]:
        forth, back = _slab(group, start, stop)
        across = tf.linalg.matvec(forth, group.valid)
        down = tf.linalg.matvec(back, group.valid[start:stop], transpose_a=True)
        return [_added(sums[0], across, start), sums[1] + down]

    across, down = _over_slabs(add_sums, [zeros, zeros], count, rows)
    asks = group.counted
    per_anchor = asks / tf.where(asks > 0.0, across, tf.ones_like(across))
    per_target = asks / tf.where(asks > 0.0, down, tf.ones_like(down))

    def add_slopes(
        start: tf.Tensor, stop: tf.Tensor, *slopes: tf.Tensor
    ) -> list[tf.Tensor]:
        forth, back = _slab(group, start, stop)
        pulls = forth * per_anchor[start:stop, tf.newaxis] + back * per_target
        to_anchors = tf.matmul(pulls, group.targets)
        to_targets = tf.matmul(pulls, group.anchors[start:stop], transpose_a=True)
        return [_added(slopes[0], to_anchors, start), slopes[1] + to_targets]

    # Each member draws its own target toward it, twice.
    twice = -2.0 * asks[:, tf.newaxis]
    own = [twice * group.targets, twice * group.anchors]
    to_anchors, to_targets = _over_slabs(add_slopes, own, count, rows)
    logs = sum(
        tf.math.log(tf.where(asks > 0.0, total, tf.ones_like(total))) + group.bound
        for total in (across, down)
    )
    positive = tf.reduce_sum(group.anchors * group.targets, axis=1)
    loss = tf.reduce_sum(asks * (logs - 2.0 * positive))
    return loss, to_anchors, to_targets


def _slab(
    group: Group, start: tf.Tensor, stop: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns exp(a_i . t_j - bound), [r, s], for the sums over rows and over columns:
    0 where both members have the same id, but for i = j."""
    products = tf.matmul(group.anchors[start:stop], group.targets, transpose_b=True)
    powers = tf.exp(products - group.bound)
    places = tf.range(start, stop)
    own = tf.stack([places - start, places], axis=1)
    kept = tf.gather_nd(powers, own)

    def without(ids: tf.Tensor | None) -> tf.Tensor:
        if ids is None:
            return powers
        other = ids[start:stop, tf.newaxis] != ids
        left = tf.where(other, powers, tf.zeros_like(powers))
        return tf.tensor_scatter_nd_update(left, own, kept)

    return without(group.target_ids), without(group.anchor_ids)


def _added(total: tf.Tensor, part: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Adds rows to those of `total` from `start` on."""
    places = start + tf.range(tf.shape(part)[0])
    return tf.tensor_scatter_nd_add(total, places[:, tf.newaxis], part)


def _over_slabs(
    function: Callable[..., list[tf.Tensor]],
    values: list[tf.Tensor],
    count: tf.Tensor,
    rows: int,
) -> list[tf.Tensor]:
    """Passes `values` through function(start, stop, *values) for each slab."""

    def step(start: tf.Tensor, *values: tf.Tensor) -> tuple[tf.Tensor, ...]:
        stop = tf.minimum(start + rows, count)
        return stop, *function(start, stop, *values)

    _, *values = tf.while_loop(
        lambda start, *_: start < count, step, (0, *values), parallel_iterations=1
    )
    return values
