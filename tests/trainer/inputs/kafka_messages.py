"""Examples as Kafka messages, and sources that read them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from configs.job import Job
from configs.layout import IDS, layout_of
from configs.preprocess import DeadLetters
from tests.kafka_cluster import Cluster
from tests.trainer.example_sets import example, random_rows
from trainer.inputs.dead_messages import DeadMessages
from trainer.inputs.kafka_reader import TopicReader
from trainer.inputs.kafka_source import KafkaSource, Windows
from trainer.inputs.screening import Screen

__all__ = ["drain", "examples", "ids_of", "open_source", "spread"]

_SCREENS: dict[str, Screen] = {}
"""By layout: they are traced once."""


def examples(job: Job, rows: int, seed: int = 1) -> list[bytes]:
    """Serialized examples whose event ids count up from 1000 * seed."""
    return [example(row) for row in random_rows(job, rows, seed)]


def spread(values: list[bytes], partitions: int) -> dict[int, list[bytes]]:
    """Values dealt out to partitions in turn."""
    return {p: values[p::partitions] for p in range(partitions)}


def ids_of(job: Job, windows) -> list[int]:
    """The event ids of all rows of windows, in order."""
    width = len(layout_of(job).ids)
    wanted = {IDS: tf.io.FixedLenFeature([width], tf.int64)}
    found = [tf.io.parse_example(w.serialized, wanted)[IDS][:, 0] for w in windows]
    return np.concatenate([np.zeros(0, np.int64), *found]).tolist()


def open_source(
    cluster: Cluster,
    topic: str,
    job: Job,
    folder: Path,
    *,
    position=None,
    limits: DeadLetters = DeadLetters(),  # noqa: B008
    away: float = 60.0,
    **windows,
) -> KafkaSource:
    """A source that is open; windows of 16 rows unless told otherwise."""
    chosen = {"rows": 16, "wait": 60.0, "until_end": True} | windows
    reader = TopicReader(cluster.section, topic, group=f"of-{topic}", away=away)
    dead = DeadMessages(folder / "dead.jsonl", limits)
    layout = layout_of(job)
    screen = _SCREENS.setdefault(repr(layout), Screen(layout))
    source = KafkaSource(reader, topic, Windows(**chosen), screen, dead)
    source.open(position or {})
    return source


def drain(source: KafkaSource, limit: int = 10_000, wait: float = 20.0) -> list:
    """All windows of a source that ends, or so many."""
    windows = []
    while len(windows) < limit:
        window = source.next_window(wait)
        if window is None:
            assert source.ended, "nothing came"
            break
        windows.append(window)
    return windows
