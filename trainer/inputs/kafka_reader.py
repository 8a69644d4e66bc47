"""Reads the partitions of a topic from offsets of our own, and notices what is wrong.

Nothing here balances, commits or jumps: partitions are assigned by hand, and an offset
that is gone is an event that the caller decides about.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from configs.errors import DataError, TrainingError
from configs.kafka import Kafka, consumer_options
from trainer.inputs.partition_merge import Block

__all__ = ["Arrived", "TopicReader"]

_SILENCE = 5.0
"""Seconds without anything after which the brokers are asked whether they are there."""

_FIRST_CONTACT = 30.0
"""Seconds that the first connection may take: what is wrong then is a setting."""

_ANSWER = 5.0
"""Seconds that a question may take."""

_GONE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)

_REFUSED = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


@dataclass(kw_only=True, eq=False)
class Arrived:
    """What one look brought.

    Attributes:
        blocks: messages, by partition.
        dry: partitions that have nothing more, with the offset behind all.
        gone: partitions whose next offset the brokers no longer have.
    """

    blocks: dict[int, Block] = field(default_factory=lambda: defaultdict(Block))
    dry: dict[int, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)


class TopicReader:
    """One topic of a cluster.

    Args:
        kafka: how the brokers are reached.
        topic: to read.
        group: under which positions are noted.
        away: seconds that the brokers may be away.
    """

    def __init__(self, kafka: Kafka, topic: str, *, group: str, away: float) -> None:
        self._topic = topic
        self._servers = kafka.servers
        self._away = away
        self._error = ""
        self._refused: str | None = None
        options = {
            # Of all partitions together: what is read ahead of training.
            "queued.max.messages.kbytes": "32768",
            # How soon a partition is known to have nothing more.
            "fetch.wait.max.ms": "100",
            **consumer_options(kafka, group),
            "error_cb": self._on_error,
        }
        self._consumer = Consumer(options)
        self._heard = time.monotonic()
        self._asked = self._heard
        self._assigned = False
        self._paused: set[int] = set()

    def connect(self) -> list[int]:
        """Waits for the brokers, and returns the partitions of the topic.

        Raises:
            DataError: if the topic is not there.
            TrainingError: if the brokers are not.
        """
        ends = time.monotonic() + min(self._away, _FIRST_CONTACT)
        while True:
            try:
                return self.partitions()
            except KafkaException as error:
                if not self._assigned:
                    self._consumer.poll(0)  # brings no message, but what is wrong
                self._check_refused()
                if time.monotonic() < ends:
                    time.sleep(0.2)
                    continue
                self._raise_unreached(error)

    def partitions(self) -> list[int]:
        """Returns the partitions of the topic, in order.

        Raises:
            KafkaException: if the brokers do not answer, or a partition has no leader.
        """
        metadata = self._consumer.list_topics(
            self._topic, timeout=min(_ANSWER, self._away)
        )
        found = metadata.topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        for partition in found.partitions.values():
            if partition.leader < 0:
                raise KafkaException(
                    partition.error or KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
                )
        self._heard = time.monotonic()
        return sorted(found.partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        """Returns the first offset that is left, and the one behind all messages.

        Raises:
            KafkaException: if the brokers do not answer.
        """
        where = TopicPartition(self._topic, partition)
        low, high = self._consumer.get_watermark_offsets(where, timeout=_ANSWER)
        return int(low), int(high)

    def known_end(self, partition: int) -> int | None:
        """Returns the offset behind all messages as the last answer had it."""
        where = TopicPartition(self._topic, partition)
        try:
            _, high = self._consumer.get_watermark_offsets(where, cached=True)
        except KafkaException:
            return None
        return high if high >= 0 else None

    def assign(self, offsets: Mapping[int, int]) -> None:
        """Reads these partitions from these offsets on, and no others."""
        self._paused.clear()
        self._assigned = True
        self._consumer.assign(
            [TopicPartition(self._topic, p, at) for p, at in offsets.items()]
        )

    def pause(self, partitions: set[int]) -> None:
        """Stops fetching these partitions, and goes on with all others."""
        if partitions == self._paused:
            return
        stopped, resumed = partitions - self._paused, self._paused - partitions
        self._consumer.pause([TopicPartition(self._topic, p) for p in stopped])
        self._consumer.resume([TopicPartition(self._topic, p) for p in resumed])
        self._paused = set(partitions)

    def read(self, count: int, wait: float) -> Arrived:
        """Returns what has come.

        Args:
            count: messages at most.
            wait: seconds at most.

        Raises:
            TrainingError: if the brokers refuse, or have been away for too long.
        """
        arrived = Arrived()
        # The library's types allow for messages that are none.
        for message in cast("list[Any]", self._consumer.consume(count, timeout=wait)):
            error = message.error()
            if error is None:
                block = arrived.blocks[message.partition()]
                block.offsets.append(message.offset())
                block.times.append(message.timestamp()[1])
                block.values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                arrived.dry[message.partition()] = message.offset()
            elif error.code() in _GONE:
                arrived.gone.add(message.partition())
            else:
                self._on_error(error)
        self._check_refused()
        if arrived.blocks or arrived.dry or arrived.gone:
            self._heard = time.monotonic()
        else:
            self._ask()
        return arrived

    def away_seconds(self) -> float:
        """Returns how long the brokers have not answered; 0 while they do."""
        silent = time.monotonic() - self._heard
        return silent if silent > _SILENCE + _ANSWER else 0.0

    def note(self, offsets: Mapping[int, int]) -> None:
        """Notes positions with the group, for dashboards; never raises or waits."""
        where = [TopicPartition(self._topic, p, at) for p, at in offsets.items()]
        try:
            self._consumer.commit(offsets=where, asynchronous=True)
        except KafkaException as error:
            self._error = str(error)

    def close(self) -> None:
        """Closes the connections."""
        self._consumer.close()

    def _ask(self) -> None:
        """Asks whether the brokers are there, once nothing has come for a while."""
        now = time.monotonic()
        if now - max(self._heard, self._asked) < _SILENCE:
            return
        try:
            self.partitions()
        except KafkaException as error:
            self._error = str(error)
            self._check_refused()
            if time.monotonic() - self._heard > self._away:
                self._raise_away()
        self._asked = time.monotonic()

    def _on_error(self, error: KafkaError) -> None:
        self._error = error.str()
        if error.fatal() or error.code() in _REFUSED:
            self._refused = self._error

    def _check_refused(self) -> None:
        if self._refused is not None:
            raise TrainingError(
                f"the brokers at {self._servers} refuse to give {self._topic}:"
                f" {self._refused}. Check stream.kafka.options (security.protocol,"
                " sasl.*) and what this user may read"
            )

    def _raise_unreached(self, error: KafkaException) -> NoReturn:
        code = error.args[0].code()
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            raise DataError(
                f"the brokers at {self._servers} have no topic {self._topic!r}"
                " (stream.examples_topic): make it, with as many partitions as are to"
                " be read side by side"
            ) from error
        raise TrainingError(
            f"no answer from {self._servers} (stream.kafka.servers):"
            f" {self._error or error.args[0].str()}. Check the address and that the"
            " broker runs"
        ) from error

    def _raise_away(self) -> NoReturn:
        raise TrainingError(
            f"the brokers at {self._servers} have not given {self._topic} for"
            f" {self._away:.0f} seconds, longer than stream.train.away: {self._error}."
            " Nothing is lost: start them, then this command again"
        )
