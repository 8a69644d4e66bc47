"""Reads examples with what a message needs of them: the event, and its time."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import tensorflow as tf

from configs.layout import EVENT_TIME, IDS
from preprocessing.tfrecord import read_records

__all__ = ["keyed_examples"]

_AT_ONCE = 4_096


def keyed_examples(shard: Path, ids: int) -> Iterator[tuple[int, int, bytes]]:
    """Yields of each example in a file the fingerprint of the event, its time in ms,
    and the example.

    Args:
        shard: the file.
        ids: number of ids in an example; that of the event is the first.

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
        events = parsed[IDS].numpy()[:, 0].tolist()
        times = parsed[EVENT_TIME].numpy().tolist()
        yield from zip(events, times, block, strict=True)
