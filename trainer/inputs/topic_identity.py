"""Notices that the topic of a run was deleted and made anew under its old name."""

from pathlib import Path

import confluent_kafka
import confluent_kafka.admin

from configs.kafka import Kafka
from configs.topic_identity import check_topic_identities

__all__ = ["check_topic"]


def check_topic(kafka: Kafka, topic: str, path: Path, fresh: bool) -> None:
    """Compares the topic's id with the one in a file, or writes it there.

    Args:
        kafka: how the brokers are reached.
        topic: its name.
        path: of the file.
        fresh: nothing was read yet, so that any topic will do.

    Raises:
        DataError: if the topic is another than it was.
    """
    check_topic_identities(
        confluent_kafka,
        kafka,
        {topic: fresh},
        path,
        mend="Begin a new run, or name the topic that it has read",
    )
