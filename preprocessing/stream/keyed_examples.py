"""Reads examples with what a message needs of them: the event, and its time."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import tensorflow as tf

from configs.layout import EVENT_TIME, IDS
from preprocessing.tfrecord import read_records

__all__ = ["KeyedExample", "keyed_examples"]

_AT_ONCE = 4_096


KeyedExample = tuple[int, int, int, bytes]
"""Fingerprint of the event, fingerprint of the id whose rows belong together, time of
the event in ms, and the example."""


def keyed_examples(shard: Path, ids: int, together: int) -> Iterator[KeyedExample]:
    """Yields the examples in a file.

    Args:
        shard: the file.
        ids: number of ids in an example; that of the event is the first.
        together: which of them is the id whose rows belong together.

    Raises:
        DataError: if the file is damaged.
    """
    features = {
        IDS: tf.io.FixedLenFeature([ids], tf.int64),
        EVENT_TIME: tf.io.FixedLenFeature([], tf.int64),
    }
    records = read_records(shard)
    while block := list(islice(records, _AT_ONCE)):
        parsed = tf.io.parse_example(block, features)
        found = parsed[IDS].numpy()
        events, groups = found[:, 0].tolist(), found[:, together].tolist()
        times = parsed[EVENT_TIME].numpy().tolist()
        yield from zip(events, groups, times, block, strict=True)
