"""The one encoding of categorical values, and of raw request columns.

The batch job hashes the distinct values of a block with `fingerprints`; the exported
graph hashes request values with the same function. `encode_request` is the whole of
what the graph does to raw columns; the twin for logs is `preprocessing.encode_rows`.
"""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from configs.columns import raw_name
from configs.features import (
    CrossedFeature,
    DenseFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    TimeFeature,
)
from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    DENSE,
    FINGERPRINT_RANGE,
    NUMERIC,
    PADDING,
    layout_of,
    multi_valued_key,
    sequence_key,
    weights_key,
)
from preprocessing.time_parts import time_part

__all__ = ["CROSS_SEPARATOR", "encode_request", "fingerprints"]

CROSS_SEPARATOR = "\x1f"
"""Stands between the texts that a crossed feature joins."""


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
            must be whole, or all NaN (missing). Times are int64 [B] in milliseconds,
            or `NO_TIME`.
        job: says which features the columns make.

    Returns:
        The encoded features, by key of `configs.layout`, with the shapes given there;
        multi-valued features are as long as the longest one in the batch.
    """
    numbers, vectors = [], []
    encoded: dict[str, tf.Tensor] = {}
    for name, feature in job.features.items():
        if isinstance(feature, SequenceFeature):
            encoded.update(_sequence(columns, name, feature))
        elif isinstance(feature, NumericFeature):
            numbers.append(columns[raw_name(job, name)])
        elif isinstance(feature, DenseFeature):
            column = columns[raw_name(job, name)]
            vectors.append(tf.where(tf.math.is_nan(column), 0.0, column))
        elif isinstance(feature, MultiValuedFeature):
            encoded.update(_multi_valued(columns, name, feature))
    categorical = layout_of(job).categorical
    if categorical:
        encoded[CATEGORICAL] = _categorical(columns, job, categorical)
    if numbers:
        encoded[NUMERIC] = tf.stack(numbers, axis=1)
    if vectors:
        encoded[DENSE] = tf.concat(vectors, axis=1)
    return encoded


def _categorical(
    columns: Mapping[str, tf.Tensor], job: Job, names: Sequence[str]
) -> tf.Tensor:
    """Returns int64 [B, names]; all texts are hashed by one op."""
    found = {
        name: _time_part(columns, job, name)
        for name in names
        if isinstance(job.features[name], TimeFeature)
    }
    hashed = [name for name in names if name not in found]
    if hashed:
        texts = tf.stack([_text(columns, job, name) for name in hashed], axis=1)
        values = fingerprints(texts)
        if len(hashed) == len(names):
            return values
        columns_of = tf.unstack(values, num=len(hashed), axis=1)
        found |= dict(zip(hashed, columns_of, strict=True))
    return tf.stack([found[name] for name in names], axis=1)


def _time_part(columns: Mapping[str, tf.Tensor], job: Job, name: str) -> tf.Tensor:
    feature = job.features[name]
    if not isinstance(feature, TimeFeature):
        raise TypeError(f"{name} is no time feature")
    return time_part(columns[raw_name(job, name)], feature)


def _text(columns: Mapping[str, tf.Tensor], job: Job, name: str) -> tf.Tensor:
    """Returns the canonical texts of a feature of one value, string [B]."""
    feature = job.features[name]
    if isinstance(feature, CrossedFeature):
        parts = [_text(columns, job, part) for part in feature.of]
        return tf.strings.join(parts, separator=CROSS_SEPARATOR)
    if isinstance(feature, TimeFeature):
        return tf.strings.as_string(_time_part(columns, job, name))
    return columns[raw_name(job, name)]


def _multi_valued(
    columns: Mapping[str, tf.Tensor], name: str, feature: MultiValuedFeature
) -> dict[str, tf.Tensor]:
    texts = columns[feature.raw_name(name)]
    kept = tf.ragged.boolean_mask(texts, texts != "")[:, : feature.max_length]
    hashed = tf.ragged.map_flat_values(fingerprints, kept)
    padding = tf.constant(PADDING, tf.int64)
    encoded = {multi_valued_key(name): hashed.to_tensor(default_value=padding)}
    if feature.weights is not None:
        given = columns[feature.raw_weights]
        # Lists of a request may be padded to different lengths.
        given = tf.pad(
            given,
            [[0, 0], [0, tf.maximum(tf.shape(texts)[1] - tf.shape(given)[1], 0)]],
            constant_values=float("nan"),
        )[:, : tf.shape(texts)[1]]
        given = tf.where(tf.math.is_nan(given), 1.0, given)
        weights = tf.ragged.boolean_mask(given, texts != "")[:, : feature.max_length]
        encoded[weights_key(name)] = weights.to_tensor(default_value=0.0)
    return encoded


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
