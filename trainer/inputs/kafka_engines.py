"""Opens the Kafka source that a job asks for."""

from functools import partial
from pathlib import Path

import tensorflow as tf

from configs.durations import duration_ms
from configs.errors import JobError
from configs.job import Job
from configs.layout import layout_of
from trainer.inputs.dead_messages import DeadMessages
from trainer.inputs.kafka_reader import TopicReader
from trainer.inputs.kafka_source import KafkaSource, Windows
from trainer.inputs.screening import Screen
from trainer.inputs.stream_source import StreamSource
from trainer.inputs.tensorflow_io_source import TensorflowIoSource
from trainer.inputs.topic_identity import check_topic

__all__ = ["DEAD_LETTERS", "kafka_source"]

DEAD_LETTERS = "dead_letters/kafka.jsonl"
"""Where a run keeps messages that are no examples."""

_IDENTITY = "kafka.json"
"""Where it remembers which topic it reads."""


def kafka_source(job: Job, folder: Path, *, until_end: bool = False) -> StreamSource:
    """Returns the source of `stream.examples_topic`; nothing is connected yet.

    Args:
        job: with `stream.kafka` and `stream.examples_topic`.
        folder: of the run, for dead letters.
        until_end: end with what is in the topic at the start.

    Raises:
        JobError: if the job names no topic, or a variable is not in the environment.
    """
    stream = job.stream
    if stream is None or stream.kafka is None or stream.examples_topic is None:
        raise JobError(
            f"{job.name} reads no examples from Kafka: name stream.examples_topic and"
            " stream.kafka.servers"
        )
    training = stream.train
    group = f"pairstream-trainer-{job.name}"
    windows = Windows(
        rows=training.window_rows,
        wait=duration_ms(training.window_wait) / 1_000,
        expired=training.expired,
        until_end=until_end,
    )
    dead = DeadMessages(folder / DEAD_LETTERS, training.dead_letters)
    screen = Screen(
        layout_of(job),
        batch_size=job.training.batch_size,
        shares=tf.distribute.get_strategy().num_replicas_in_sync,
    )
    if training.engine == "tensorflow_io":
        return TensorflowIoSource(
            stream.kafka, stream.examples_topic, group, windows, screen, dead
        )
    reader = TopicReader(
        stream.kafka,
        stream.examples_topic,
        group=group,
        away=duration_ms(training.away) / 1_000,
    )
    check = partial(
        check_topic, stream.kafka, stream.examples_topic, folder / _IDENTITY
    )
    return KafkaSource(reader, stream.examples_topic, windows, screen, dead, check)
