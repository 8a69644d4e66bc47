"""Parses serialized examples into a batch: a dictionary of tensors by layout key."""

import tensorflow as tf

from configs.layout import (
    CATEGORICAL,
    DENSE,
    ELAPSED,
    EVENT_KIND,
    EVENT_TIME,
    IDS,
    LABEL_KINDS,
    LABELS,
    NEGATIVE_KEEP_RATE,
    NUMERIC,
    PADDING,
    TRUTH,
    EventKind,
    ExampleLayout,
    SequenceLayout,
    multi_valued_key,
    sequence_key,
    weights_key,
)
from trainer.inputs.ranges import checked_ids

__all__ = ["Batch", "parse_examples"]

Batch = dict[str, tf.Tensor]
"""A batch by layout key; see `configs.layout` for shapes and dtypes."""


def parse_examples(serialized: tf.Tensor, layout: ExampleLayout) -> Batch:
    """Parses a batch of `tf.train.Example` in one op.

    Args:
        serialized: [B] string.
        layout: which keys the examples have, and in which order they are packed.

    Returns:
        All keys of `configs.layout`, keys without any feature among them ([B, 0]).
        Multi-valued features are padded to the longest of the batch, sequences to
        their maximum length.

    Raises:
        tf.errors.InvalidArgumentError: when run, if an example is not of this layout,
            or an id of a feature is no fingerprint.
    """
    parsed = tf.io.parse_example(serialized, _specification(layout))
    rows = tf.size(serialized)
    batch: Batch = {key: parsed[key] for key in (LABELS, TRUTH, EVENT_TIME, EVENT_KIND)}
    batch[NEGATIVE_KEEP_RATE] = parsed[NEGATIVE_KEEP_RATE]
    if layout.late:
        batch |= {key: parsed[key] for key in (LABEL_KINDS, ELAPSED)}
    for key, width, dtype in _packed(layout):
        batch[key] = parsed[key] if width else tf.zeros([rows, 0], dtype)
    if layout.categorical:
        batch[CATEGORICAL] = checked_ids(batch[CATEGORICAL], layout.categorical)
    for name in layout.multi_valued:
        key = multi_valued_key(name)
        values = _checked(parsed[key], name)
        batch[key] = values.to_tensor(default_value=PADDING)
        if name in layout.weighted:
            weights = parsed[weights_key(name)]
            batch[weights_key(name)] = weights.to_tensor(default_value=0.0)
    for name, sequence in layout.sequences.items():
        for field in sequence.fields:
            key = sequence_key(name, field)
            values = parsed[key]
            if field not in sequence.numeric:
                values = _checked(values, f"{name}.{field}")
            batch[key] = _pad(values, field, sequence)
    return batch


def _checked(ragged: tf.RaggedTensor, name: str) -> tf.RaggedTensor:
    return ragged.with_flat_values(checked_ids(ragged.flat_values, [name]))


def _pad(ragged: tf.RaggedTensor, field: str, sequence: SequenceLayout) -> tf.Tensor:
    # A padded number is NaN, as a missing one is; the first field has the mask.
    padding = float("nan") if field in sequence.numeric else PADDING
    return ragged.to_tensor(default_value=padding, shape=[None, sequence.max_length])


def _packed(layout: ExampleLayout) -> list[tuple[str, int, tf.DType]]:
    """Returns key, width and dtype of the keys that hold several features."""
    return [
        (IDS, len(layout.ids), tf.int64),
        (CATEGORICAL, len(layout.categorical), tf.int64),
        (NUMERIC, len(layout.numeric), tf.float32),
        (DENSE, sum(layout.dense.values()), tf.float32),
    ]


def _specification(layout: ExampleLayout) -> dict[str, object]:
    labels = len(layout.labels)
    specification: dict[str, object] = {
        LABELS: tf.io.FixedLenFeature([labels], tf.float32),
        TRUTH: tf.io.FixedLenFeature(
            [labels], tf.float32, default_value=[float("nan")] * labels
        ),
        EVENT_TIME: tf.io.FixedLenFeature([], tf.int64),
        EVENT_KIND: tf.io.FixedLenFeature([], tf.int64),
        NEGATIVE_KEEP_RATE: tf.io.FixedLenFeature([], tf.float32),
    }
    if layout.late:
        # Sets that were made of whole logs have settled labels, and do not say so.
        specification |= {
            LABEL_KINDS: tf.io.FixedLenFeature(
                [labels], tf.int64, default_value=[int(EventKind.SETTLED)] * labels
            ),
            ELAPSED: tf.io.FixedLenFeature([], tf.int64, default_value=-1),
        }
    for key, width, dtype in _packed(layout):
        if width:
            specification[key] = tf.io.FixedLenFeature([width], dtype)
    for name in layout.multi_valued:
        specification[multi_valued_key(name)] = _ragged(tf.int64)
        if name in layout.weighted:
            specification[weights_key(name)] = _ragged(tf.float32)
    for name, sequence in layout.sequences.items():
        for field in sequence.fields:
            dtype = tf.float32 if field in sequence.numeric else tf.int64
            specification[sequence_key(name, field)] = _ragged(dtype)
    return specification


def _ragged(dtype: tf.DType) -> tf.io.RaggedFeature:
    return tf.io.RaggedFeature(dtype, row_splits_dtype=tf.int64)
