"""Notices that topics were deleted and made anew under their old names.

Offsets of an old topic would lie in the middle of other messages, and nothing else
would tell: brokers give each topic an id of its own, which whoever reads it remembers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.kafka import Kafka, client_options
from configs.publishing import write_text_atomically

__all__ = ["check_topic_identities"]

_ANSWER = 2.0
"""Seconds that the question may take."""


def check_topic_identities(
    library: Any, kafka: Kafka, topics: Mapping[str, bool], path: Path, *, mend: str
) -> None:
    """Compares ids of topics with those in a file, and writes new ones there.

    Brokers before 3.1 tell none, nor do those who may not be asked: then nothing is
    compared.

    Args:
        library: the module `confluent_kafka`, with `confluent_kafka.admin`.
        kafka: how the brokers are reached.
        topics: by name whether nothing was read yet, so that any topic will do.
        path: of the file.
        mend: what a user can do, for the message.

    Raises:
        DataError: if a topic is another than it was.
    """
    found = dict(_ids_of(library, kafka, topics))
    known: dict[str, str] = {}
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
    for topic, number in found.items():
        if not topics[topic] and known.get(topic, number) != number:
            raise DataError(
                f"the topic {topic} was deleted and made anew since it was read: the"
                f" positions in the old one mean other messages now. {mend}"
            )
    if known | found != known:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(known | found) + "\n")


def _ids_of(
    library: Any, kafka: Kafka, topics: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yields the topics whose ids the brokers tell."""
    options: dict[str, Any] = dict(client_options(kafka))
    admin = library.admin.AdminClient(options)
    asked = admin.describe_topics(
        library.TopicCollection(list(topics)), request_timeout=_ANSWER
    )
    for topic, answer in asked.items():
        try:
            number = answer.result(_ANSWER).topic_id
        except (library.KafkaException, TimeoutError):
            continue
        if number is None:
            continue
        most, least = (
            number.get_most_significant_bits(),
            number.get_least_significant_bits(),
        )
        if most or least:
            yield topic, str(number)
