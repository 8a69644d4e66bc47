"""Reads example files with TensorFlow's own reader and the protobuf library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

Example = dict[str, list[Any]]


def parse(serialized: bytes) -> Example:
    """Returns the values of an example by key."""
    example = tf.train.Example.FromString(serialized)
    parsed = {}
    for key, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        parsed[key] = list(getattr(feature, kind).value)
    return parsed


def serialize(values: dict[str, tuple[str, list[Any]]]) -> bytes:
    """Returns an example as the protobuf library writes it; kinds are int64, float."""
    example = tf.train.Example()
    for key, (kind, items) in values.items():
        feature = example.features.feature[key]
        if kind == "int64":
            feature.int64_list.value.extend(items)
        else:
            feature.float_list.value.extend(items)
    return bytes(example.SerializeToString())


def read_split(folder: str | Path, manifest: Any, split: str) -> Iterator[Example]:
    """Yields the parsed examples of a split, in order."""
    for shard in manifest.splits[split].shards:
        compression = "GZIP" if shard.path.endswith(".gz") else ""
        dataset = tf.data.TFRecordDataset(
            str(Path(folder) / shard.path), compression_type=compression
        )
        for record in dataset.as_numpy_iterator():
            yield parse(record)
