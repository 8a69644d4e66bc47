"""First-order weights: those that single values have beside their embeddings."""

from collections.abc import Mapping

import tensorflow as tf

from configs.features import Feature, MultiValuedFeature, SequenceFeature
from configs.layout import PADDING, multi_valued_key, sequence_key, weights_key

__all__ = ["first_order_sum"]


def first_order_sum(
    weights: Mapping[str, tf.Tensor],
    encoded: Mapping[str, tf.Tensor],
    features: Mapping[str, Feature],
) -> tf.Tensor:
    """Returns the sum of the weights of all values of each row.

    Multi-valued features are pooled as their embeddings are, and the fields of a
    sequence are averaged over its behaviours.

    Args:
        weights: float32 [B, k] by the block that was looked up; 0 where padded.
        encoded: encoded features (keys and shapes: `configs.layout`).
        features: of the job.

    Returns:
        float32 [B, 1].
    """
    counted: dict[str, tf.Tensor] = {}
    weighted: dict[str, tf.Tensor] = {}
    for name, feature in features.items():
        if isinstance(feature, MultiValuedFeature):
            key = multi_valued_key(name)
            if feature.weights is not None:
                weighted[key] = encoded[weights_key(name)]
            if feature.pooling == "mean":
                counted[key] = encoded[key]
        elif isinstance(feature, SequenceFeature):
            behaviours = encoded[sequence_key(name, next(iter(feature.fields)))]
            for field in feature.fields:
                counted[sequence_key(name, field)] = behaviours
    parts = []
    for block, values in weights.items():
        shares = tf.ones_like(values)
        if block in weighted:
            shares = tf.cast(weighted[block], values.dtype)
        elif block in counted:
            shares = tf.cast(counted[block] != PADDING, values.dtype)
        total = tf.reduce_sum(values * shares, axis=1, keepdims=True)
        if block in counted:
            total = tf.math.divide_no_nan(
                total, tf.reduce_sum(shares, axis=1, keepdims=True)
            )
        parts.append(total)
    return tf.add_n(parts)
