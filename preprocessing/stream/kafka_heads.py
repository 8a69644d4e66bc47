"""Looks at the next record of partitions that are not read to their end.

Its time is how far such a partition holds the watermark back. Without it the newest
record that was read would, and a log with few records would hold back all others while
a backlog is read.
"""

from collections.abc import Mapping
from typing import Any

from configs.errors import DataError
from preprocessing.fields import Field
from preprocessing.stream.messages import time_of
from preprocessing.stream.patience import Patience, is_passing

__all__ = ["next_times"]

_AT_ONCE = 1_000
_WAIT_SECONDS = 0.05


def next_times(
    kafka: Any,
    consumer: Any,
    patience: Patience,
    wanted: Mapping[tuple[str, int], tuple[int, Field]],
) -> dict[tuple[str, int], int]:
    """Returns the times of the first records from some offsets on, ms.

    A partition has none if there is no record, or one without a time.

    Args:
        kafka: the module `confluent_kafka`.
        consumer: of committed messages; it is assigned nothing.
        patience: with its broker.
        wanted: offset, and the time column of the log, by topic and partition.

    Raises:
        DataError: if the broker stays away, or cannot be read.
    """
    times: dict[tuple[str, int], int] = {}
    left = set(wanted)
    if not left:
        return times
    consumer.assign(
        [kafka.TopicPartition(*place, offset) for place, (offset, _) in wanted.items()]
    )
    try:
        while left:
            answered = False
            for message in consumer.consume(_AT_ONCE, timeout=_WAIT_SECONDS):
                place = message.topic(), message.partition()
                error = message.error()
                if error is not None and is_passing(error):
                    patience.note(error)
                    continue
                answered = True
                if place not in left:
                    continue
                left.discard(place)
                if error is None:
                    time = time_of(message.value(), wanted[place][1])
                    times |= {} if time is None else {place: time}
                elif error.name() not in ("_PARTITION_EOF", "_AUTO_OFFSET_RESET"):
                    raise DataError(f"Kafka cannot be read: {error.str()}")
            if answered:
                patience.answered()
            elif left:
                patience.waited()
    finally:
        consumer.unassign()
    return times
