"""Names of a model's variables that depend on its structure alone.

Keras numbers layers without a name by a counter of the process, so its own names differ
between two models of one process. Here a name is the path of attributes that leads to
the variable: `backbone/cross/0/dense/kernel`.
"""

from collections.abc import Iterator
from typing import Any

import keras
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
    ExampleLayout,
    multi_valued_key,
    sequence_key,
    weights_key,
)
from trainer.inputs.examples import Batch

__all__ = ["named_variables", "one_row"]


def named_variables(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """Returns all variables of a layer or model, seed generators' states too, by name.

    All of them must have been created: call the model on `one_row` before.
    """
    named: dict[str, keras.Variable] = {}
    claimed: set[int] = set()

    def visit(current: keras.layers.Layer, prefix: str) -> None:
        for name, child in _children(current):
            visit(child, f"{prefix}{name}/")
        for variable in current.variables:
            if id(variable) not in claimed:
                claimed.add(id(variable))
                named[_unused(f"{prefix}{variable.name}", named)] = variable

    visit(layer, "")
    return named


def one_row(layout: ExampleLayout) -> Batch:
    """Returns a batch of one row without any value, to create lazy variables with."""
    labels = len(layout.labels)
    batch = {
        LABELS: tf.zeros([1, labels]),
        TRUTH: tf.zeros([1, labels]),
        IDS: tf.zeros([1, len(layout.ids)], tf.int64),
        EVENT_TIME: tf.zeros([1], tf.int64),
        EVENT_KIND: tf.zeros([1], tf.int64),
        NEGATIVE_KEEP_RATE: tf.ones([1]),
        CATEGORICAL: tf.zeros([1, len(layout.categorical)], tf.int64),
        NUMERIC: tf.zeros([1, len(layout.numeric)]),
        DENSE: tf.zeros([1, sum(layout.dense.values())]),
    }
    if layout.late:
        batch[LABEL_KINDS] = tf.zeros([1, labels], tf.int64)
        batch[ELAPSED] = tf.zeros([1], tf.int64)
    for name in layout.multi_valued:
        batch[multi_valued_key(name)] = tf.fill([1, 1], tf.constant(PADDING, tf.int64))
        if name in layout.weighted:
            batch[weights_key(name)] = tf.zeros([1, 1])
    for name, sequence in layout.sequences.items():
        for field in sequence.fields:
            numeric = field in sequence.numeric
            padding = tf.constant(
                float("nan") if numeric else PADDING,
                tf.float32 if numeric else tf.int64,
            )
            batch[sequence_key(name, field)] = tf.fill(
                [1, sequence.max_length], padding
            )
    return batch


def _children(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields the layers that attributes of `layer` hold, with their names."""
    seen: set[int] = set()
    for attribute, value in vars(layer).items():
        if attribute in _KERAS_ATTRIBUTES or attribute.startswith("_self_"):
            continue  # TensorFlow's tracking keeps its lists in _self_...
        for name, child in _layers_in(attribute.lstrip("_"), value):
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child


def _layers_in(name: str, value: Any) -> Iterator[tuple[str, keras.layers.Layer]]:
    if isinstance(value, keras.layers.Layer):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _layers_in(f"{name}/{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _layers_in(f"{name}/{number}", item)


def _unused(name: str, taken: dict[str, keras.Variable]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


_KERAS_ATTRIBUTES = frozenset(vars(keras.Model())) | {"_functional"}
"""Where Keras keeps its own lists of sublayers, in the order of their creation."""
