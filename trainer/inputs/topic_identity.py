"""Notices that a topic was deleted and made anew under its old name.

Offsets of the old topic would lie in the middle of other messages, and nothing else
would tell: brokers give each topic an id of its own, which a run remembers.
"""

import json
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from configs.errors import DataError
from configs.kafka import Kafka, client_options
from configs.publishing import write_text_atomically

__all__ = ["check_topic"]

_ANSWER = 2.0
"""Seconds that the question may take."""


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
    found = _id_of(kafka, topic)
    if found is None:  # brokers before 3.1, or a user who may not ask
        return
    known: dict[str, str] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    if not fresh and known.get(topic, found) != found:
        raise DataError(
            f"the topic {topic} was deleted and made anew since this run has read from"
            " it: its positions mean other messages now. Begin a new run, or name the"
            " topic that it has read"
        )
    if known.get(topic) != found:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(known | {topic: found}) + "\n")


def _id_of(kafka: Kafka, topic: str) -> str | None:
    options: dict[str, Any] = dict(client_options(kafka))
    admin = AdminClient(options)
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=_ANSWER)
    try:
        found = asked[topic].result(_ANSWER)
    except (KafkaException, TimeoutError):
        return None
    number = found.topic_id
    if number is None:
        return None
    bits = (number.get_most_significant_bits(), number.get_least_significant_bits())
    return str(number) if any(bits) else None
