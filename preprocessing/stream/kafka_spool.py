"""Writes ranges of messages to files of JSON lines, one for each partition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from configs.errors import DataError
from preprocessing.fields import Field
from preprocessing.files import LogFile
from preprocessing.stream.arrivals import Part, Range
from preprocessing.stream.messages import lines_of
from preprocessing.stream.patience import Patience, is_passing

__all__ = ["Spool"]

_AT_ONCE = 5_000
_WAIT_SECONDS = 0.1
_CHUNK = 8 << 20
"""Bytes of a partition's messages that are tested and written at once."""

Wanted = Mapping[str, tuple[str, int, Range, Field]]
"""By name of a partition: topic, number, range, and the time column of the log."""


@dataclass
class _Open:
    """A partition whose range is being read."""

    name: str
    topic: str
    number: int
    range: Range
    time: Field
    path: Path
    sink: IO[bytes]
    held: list[tuple[int, bytes | None]] = field(default_factory=list)
    size: int = 0

    def hold(self, offset: int, value: bytes | None) -> None:
        self.held.append((offset, value))
        self.size += len(value or b"")
        if self.size >= _CHUNK:
            self.write()

    def write(self) -> None:
        self.sink.write(lines_of(self.topic, self.number, self.held, self.time))
        self.held, self.size = [], 0


class Spool:
    """Reads with a consumer that others use too, one after the other.

    Args:
        kafka: the module `confluent_kafka`.
        consumer: reads committed messages, and tells where a partition ends.
        patience: with its broker.
    """

    def __init__(self, kafka: Any, consumer: Any, patience: Patience) -> None:
        self._kafka, self._consumer, self._patience = kafka, consumer, patience

    def write(self, wanted: Wanted, folder: Path) -> list[Part]:
        """Returns a file for each range that has messages.

        Raises:
            DataError: if messages of a range are gone, or the broker stays away.
        """
        opened = {}
        try:
            for name, (topic, number, part, time) in wanted.items():
                path = folder / f"{topic}-{number:05d}.jsonl"
                opened[topic, number] = _Open(
                    name, topic, number, part, time, path, path.open("wb")
                )
            self._read(opened)
            for one in opened.values():
                one.write()
        finally:
            self._consumer.unassign()
            for one in opened.values():
                one.sink.close()
        return [part for one in opened.values() for part in _parts(one)]

    def _read(self, opened: dict[tuple[str, int], _Open]) -> None:
        starts = [
            self._kafka.TopicPartition(one.topic, one.number, one.range.start)
            for one in opened.values()
        ]
        if not starts:
            return
        self._consumer.assign(starts)
        left = dict(opened)
        while left:
            answered = False
            for message in self._consumer.consume(_AT_ONCE, timeout=_WAIT_SECONDS):
                error = message.error()
                if error is None or error.name() == "_PARTITION_EOF":
                    self._take(message, error is None, left)
                    answered = True
                else:
                    self._failed(message, error, left)
            if answered:
                self._patience.answered()
            elif left:
                self._patience.waited()

    def _take(
        self, message: Any, is_record: bool, left: dict[tuple[str, int], _Open]
    ) -> None:
        place = message.topic(), message.partition()
        one = left.get(place)
        if one is None:
            return
        offset = message.offset()
        if is_record and offset < one.range.stop:
            one.hold(offset, message.value())
        # Behind the last message there may be none but marks of transactions.
        if offset >= one.range.stop - is_record:
            del left[place]
            self._consumer.incremental_unassign([self._kafka.TopicPartition(*place)])

    def _failed(
        self, message: Any, error: Any, left: dict[tuple[str, int], _Open]
    ) -> None:
        one = left.get((message.topic(), message.partition()))
        if is_passing(error) or error.name() == "UNKNOWN_TOPIC_OR_PART":
            self._patience.note(error)
        elif error.name() in ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"):
            what = message.topic() if one is None else one.name
            raise DataError(
                f"messages of {what} that a micro-batch had begun with were dropped by"
                f" Kafka before they were read ({error.str()}): keep messages for"
                " longer (retention.ms of the topic). Without them that micro-batch"
                " cannot be made; begin anew with another stream.join.state"
            )
        else:
            raise DataError(f"Kafka cannot be read: {error.str()}")


def _parts(one: _Open) -> list[Part]:
    size = one.path.stat().st_size
    if not size:
        return []
    file = LogFile(
        log=one.range.log,
        path=str(one.path),
        format="jsonl",
        compression="none",
        bytes=size,
    )
    # A range of lines: of a whole file the columns would be looked at, and a file with
    # nothing but dead letters would end the join.
    return [Part(partition=one.name, file=file, start=0, stop=size)]
