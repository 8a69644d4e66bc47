"""Symmetric InfoNCE inside groups, whose members are each other's negatives.

Legend: d width, G groups, s members of a group.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.auxiliary.large_groups import Group, large_group
from trainer.similarity import sum_type
from trainer.tiles import no_parts

__all__ = ["symmetric_info_nce_sum"]

# Similarities of a tile: 8 MiB of float32. Groups with more go through it in slabs of
# rows, but not fewer than so many.
TILE = 2**21
FEWEST_ROWS = 128

_Slopes = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


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
    groups = _Groups(
        valid, counted, target_ids, anchor_ids, temperature, sum_type(temperature)
    )

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss_of(anchors: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, Any]:
        count, members = tf.shape(anchors)[0], tf.shape(anchors)[1]
        loss, to_anchors, to_targets = tf.cond(
            (count > 0) & (members > tf.maximum(TILE // tf.maximum(members, 1), 1)),
            lambda: _over_tiles(groups.slopes_by_rows, anchors, targets),
            lambda: _over_tiles(groups.slopes, anchors, targets),
        )

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return upstream * to_anchors, upstream * to_targets

        return loss, gradient

    return loss_of(anchors, targets)


class _Groups(NamedTuple):
    """The groups but for their vectors; see `symmetric_info_nce_sum`.

    Attributes:
        dtype: of the sums, float32 or float64.
    """

    valid: tf.Tensor
    counted: tf.Tensor
    target_ids: tf.Tensor | None
    anchor_ids: tf.Tensor | None
    temperature: float
    dtype: tf.DType

    def slopes(
        self, anchors: tf.Tensor, targets: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
    ) -> _Slopes:
        """Returns the loss of the groups from start to stop, and its gradients."""
        here, asks, a, t = self._cast(anchors, targets, slice(start, stop))
        # One more column subtracts the bound from every product.
        bound = tf.fill(tf.shape(here), tf.constant(-1.0 / self.temperature, a.dtype))
        keys = tf.concat([t, tf.ones_like(bound)], 2)
        powers = tf.exp(tf.matmul(tf.concat([a, bound], 2), keys, transpose_b=True))
        positive = tf.reduce_sum(a * t, axis=2, keepdims=True)
        own = tf.exp(positive + bound)
        forth, forth_own = _without_same(powers, own, self.target_ids, start, stop)
        back, back_own = _without_same(powers, own, self.anchor_ids, start, stop)
        from_targets = tf.matmul(forth, tf.concat([t, here], 2))
        from_anchors = tf.matmul(back, tf.concat([a, here], 2), transpose_a=True)
        # Zero for members that do not count, which turns their shares off.
        per_anchor = _inverse(from_targets[:, :, -1:] + forth_own, asks)
        per_target = _inverse(from_anchors[:, :, -1:] + back_own, asks)
        logs = _minus_log(per_anchor) + _minus_log(per_target) - 2.0 * bound
        loss = tf.reduce_sum(asks * (logs - 2.0 * positive))
        pull = forth_own * per_anchor + back_own * per_target - 2.0 * asks
        to_anchors = from_targets[:, :, :-1] * per_anchor + pull * t
        to_anchors += tf.matmul(back, t * per_target)
        to_targets = from_anchors[:, :, :-1] * per_target + pull * a
        to_targets += tf.matmul(forth, a * per_anchor, transpose_a=True)
        return self._slopes(loss, to_anchors, to_targets, here)

    def slopes_by_rows(
        self, anchors: tf.Tensor, targets: tf.Tensor, start: tf.Tensor, stop: tf.Tensor
    ) -> _Slopes:
        """Returns the same for one group, without the whole of its matrix."""
        place = slice(start, stop)
        here, asks, a, t = self._cast(anchors, targets, place)
        group = Group(
            a[0],
            t[0],
            here[0, :, 0],
            asks[0, :, 0],
            None if self.target_ids is None else self.target_ids[start],
            None if self.anchor_ids is None else self.anchor_ids[start],
            1.0 / self.temperature,
        )
        rows = tf.maximum(TILE // tf.size(here), FEWEST_ROWS)
        loss, to_anchors, to_targets = large_group(group, rows)
        to_anchors, to_targets = to_anchors[tf.newaxis], to_targets[tf.newaxis]
        return self._slopes(loss, to_anchors, to_targets, here)

    def _cast(
        self, anchors: tf.Tensor, targets: tf.Tensor, place: slice
    ) -> tuple[tf.Tensor, ...]:
        """Returns which members there are and count, [g, s, 1], and their vectors, the
        anchors over the temperature; zeroed, invalid members drop out of all products.
        """
        here, asks = (
            tf.cast(values[place], self.dtype)[:, :, tf.newaxis]
            for values in (self.valid, self.counted)
        )
        a, t = (tf.cast(values[place], self.dtype) for values in (anchors, targets))
        return here, asks, a * here / self.temperature, t * here

    def _slopes(
        self,
        loss: tf.Tensor,
        to_anchors: tf.Tensor,
        to_targets: tf.Tensor,
        here: tf.Tensor,
    ) -> _Slopes:
        """Goes back from the scaled and zeroed vectors to those that were given."""
        results = (loss, to_anchors * here / self.temperature, to_targets * here)
        loss, to_anchors, to_targets = (tf.cast(x, tf.float32) for x in results)
        return loss, to_anchors, to_targets


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
    function: Callable[..., _Slopes], anchors: tf.Tensor, targets: tf.Tensor
) -> _Slopes:
    """Sums the losses and concatenates the gradients over tiles of the groups."""
    count, members = tf.shape(anchors)[0], tf.shape(anchors)[1]
    size = tf.maximum(TILE // tf.maximum(members * members, 1), 1)
    parts = [no_parts(tf.float32, (None, anchors.shape[2])) for _ in range(2)]

    def step(
        tile: tf.Tensor, start: tf.Tensor, total: tf.Tensor, *parts: tf.TensorArray
    ) -> tuple[Any, ...]:
        stop = tf.minimum(start + size, count)
        loss, *slopes = function(anchors, targets, start, stop)
        written = (part.write(tile, x) for part, x in zip(parts, slopes, strict=True))
        return tile + 1, stop, total + loss, *written

    _, _, total, left, right = tf.while_loop(
        # At least one tile, for an empty list of tiles has no shape.
        lambda tile, start, *_: (start < count) | (tile == 0),
        step,
        (0, 0, tf.constant(0.0), *parts),
        parallel_iterations=1,
    )
    shape = tf.shape(anchors)
    return (
        total,
        tf.reshape(left.concat(), shape),
        tf.reshape(right.concat(), shape),
    )
