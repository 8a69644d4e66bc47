"""The one encoding of categorical values, and of raw request columns.

The batch job hashes the distinct values of a block with `fingerprints`; the exported
graph hashes request values with the same function. `encode_request` is the whole of
what the graph does to raw columns; the twin for logs is `preprocessing.encode_rows`.
"""

from collections.abc import Mapping

import tensorflow as tf

from configs.features import (
    CategoricalFeature,
    DenseFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
)
from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    DENSE,
    FINGERPRINT_RANGE,
    NUMERIC,
    PADDING,
    multi_valued_key,
    sequence_key,
)

__all__ = ["encode_request", "fingerprints"]


def fingerprints(texts: tf.Tensor) -> tf.Tensor:
    """Hashes canonical texts: FarmHash Fingerprint64 modulo 2**63 - 1.

    Args:
        texts: string, any shape; see `configs.canonical` for the canonical form.

    Returns:
        int64 of the same shape, in [0, 2**63 - 1).
    """
    return tf.strings.to_hash_bucket_fast(texts, FINGERPRINT_RANGE)


def encode_request(columns: Mapping[str, tf.Tensor], job: Job) -> dict[str, tf.Tensor]:
    """Encodes raw columns as the batch job encodes them; works inside a graph.

    Args:
        columns: by name of the raw column (`configs.columns.raw_columns`). Categorical
            columns hold canonical text, [B] or lists [B, L] right-padded with "";
            numbers are float32, [B] or [B, L] right-padded with NaN. Dense vectors
            must be whole, or all NaN (missing).
        job: says which features the columns make.

    Returns:
        The encoded features, by key of `configs.layout`, with the shapes given there;
        multi-valued features are as long as the longest one in the batch.
    """
    texts, numbers, vectors = [], [], []
    encoded: dict[str, tf.Tensor] = {}
    for name, feature in job.features.items():
        if isinstance(feature, SequenceFeature):
            encoded.update(_sequence(columns, name, feature))
            continue
        column = columns[feature.raw_name(name)]
        if isinstance(feature, CategoricalFeature):
            texts.append(column)
        elif isinstance(feature, NumericFeature):
            numbers.append(column)
        elif isinstance(feature, DenseFeature):
            vectors.append(tf.where(tf.math.is_nan(column), 0.0, column))
        elif isinstance(feature, MultiValuedFeature):
            encoded[multi_valued_key(name)] = _multi_valued(column, feature)
    if texts:
        encoded[CATEGORICAL] = fingerprints(tf.stack(texts, axis=1))
    if numbers:
        encoded[NUMERIC] = tf.stack(numbers, axis=1)
    if vectors:
        encoded[DENSE] = tf.concat(vectors, axis=1)
    return encoded


def _multi_valued(texts: tf.Tensor, feature: MultiValuedFeature) -> tf.Tensor:
    kept = tf.ragged.boolean_mask(texts, texts != "")[:, : feature.max_length]
    hashed = tf.ragged.map_flat_values(fingerprints, kept)
    return hashed.to_tensor(default_value=tf.constant(PADDING, tf.int64))


def _sequence(
    columns: Mapping[str, tf.Tensor], name: str, feature: SequenceFeature
) -> dict[str, tf.Tensor]:
    first = columns[feature.column_of(name, next(iter(feature.fields)))]
    present = first != ""
    encoded = {}
    for field, definition in feature.fields.items():
        values = tf.ragged.boolean_mask(
            columns[feature.column_of(name, field)], present
        )[:, -feature.max_length :]
        if definition.kind == "categorical":
            values = tf.ragged.map_flat_values(fingerprints, values)
            padding = tf.constant(PADDING, tf.int64)
        else:
            padding = tf.constant(float("nan"), tf.float32)
        encoded[sequence_key(name, field)] = values.to_tensor(
            default_value=padding, shape=[None, feature.max_length]
        )
    return encoded
