"""Squared hinges summed over pairs, exactly, by one sort: O(B log B).

Legend: B rows, some of them chosen as the ones that should stand above the others.

For a row with threshold t = p_k + m, the sum of w_c max(0, t - p_c)^2 over the chosen c
is that of w_c (t - p_c)^2 over those with p_c < t. These are a prefix of the sorted
p_c, so the sum is A0 t^2 - 2 A1 t + A2 with A0, A1 and A2 prefix sums of w_c, w_c p_c
and w_c p_c^2. Where a row meets the edge of its prefix the hinge and its slope are 0:
rounding there does no harm.

All rows are sorted, those not chosen to the end: the shapes then do not depend on the
labels, as XLA needs it, which computes wrong gradients from `tf.where(condition)`.
"""

import numpy as np
import tensorflow as tf

from trainer.losses.segments import Segments

__all__ = ["squared_hinge_sums"]

# Thresholds lie in [0, 2], so contexts this far apart never meet.
SPACING = 4.0


def squared_hinge_sums(
    probabilities: tf.Tensor,
    margins: tf.Tensor,
    weights: tf.Tensor,
    segments: Segments,
) -> tf.Tensor:
    """Returns sum_c w_c max(0, m_k - (p_c - p_k))^2 for each row k.

    Args:
        probabilities: p, float64 [B], from 0 to 1.
        margins: m, float64 [B], from 0 to 1.
        weights: w, float64 [B], above 0 for the chosen rows c alone; no gradient flows
            to them.
        segments: the contexts of the rows: c and k are of the same.

    Returns:
        float64 [B]. In float64 the differences of the sums keep 1e-15 of the largest.
    """
    offsets = tf.zeros_like(probabilities)
    if segments.indices is not None:
        offsets = SPACING * tf.cast(segments.indices, probabilities.dtype)
    infinite = tf.fill(tf.shape(weights), tf.constant(np.inf, weights.dtype))
    keys = tf.where(weights > 0.0, probabilities + offsets, infinite)
    order = tf.argsort(tf.stop_gradient(keys))
    keys = tf.stop_gradient(tf.gather(keys, order))
    values, heights = tf.gather(probabilities, order), tf.gather(weights, order)
    moments = heights[:, tf.newaxis] * tf.stack(
        [tf.ones_like(values), values, values**2], axis=1
    )
    nothing = tf.zeros([1, 3], moments.dtype)
    prefixes = tf.concat([nothing, tf.cumsum(moments)], axis=0)
    thresholds = probabilities + margins
    start = tf.searchsorted(keys, offsets - 1.0)
    stop = tf.searchsorted(keys, tf.stop_gradient(thresholds) + offsets)
    sums = tf.gather(prefixes, stop) - tf.gather(prefixes, start)
    zeroth, first, second = tf.unstack(sums, axis=1)
    return (zeroth * thresholds - 2.0 * first) * thresholds + second
