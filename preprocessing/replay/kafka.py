"""Plays into Kafka topics."""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.errors import DataError, JobError
from configs.job import Job
from configs.kafka import producer_options
from preprocessing.kafka import confluent_kafka, kafka_of

__all__ = ["KafkaTarget"]

_ANSWER_SECONDS = 30.0
"""How long a broker may take to answer before the replay ends with an error."""
_DELIVERY_SECONDS = 120


class KafkaTarget:
    """Writes each log to its topic of `stream.join.topics`.

    Records of a topic go to its partitions in turn, so that each partition is in the
    order of times. Nothing is sent twice, but a replay that is killed and begun anew
    sends everything again.

    Args:
        job: with the brokers and topics.
        make_partitions: of topics that are not there yet, which are made; None makes
            no topics.

    Raises:
        JobError: if the job names no topics.
        DataError: if the broker does not answer, or a topic is not there.
    """

    def __init__(self, job: Job, *, make_partitions: int | None = None) -> None:
        kafka = kafka_of(job)
        join = job.stream.join if job.stream is not None else None
        if join is None or not join.topics:
            raise JobError(
                f"the job {job.name} names no topics for its logs: add"
                " stream.join.topics"
            )
        self._topics = join.topics
        self._servers = kafka.servers
        self._kafka = confluent_kafka()
        options: dict[str, Any] = dict(producer_options(kafka, None))
        options |= {"linger.ms": 20, "message.timeout.ms": _DELIVERY_SECONDS * 1_000}
        self._options = options
        self._producer = self._kafka.Producer(options)
        self._partitions = self._found(make_partitions)
        self._sent = dict.fromkeys(self._topics, 0)
        self._failure: Any = None

    def write(
        self, lines: Mapping[str, list[bytes]], times: Mapping[str, Sequence[int]]
    ) -> None:
        """Sends records of each log, stamped with their times, ms.

        Raises:
            DataError: if the broker did not take earlier ones.
        """
        for log, records in lines.items():
            topic, partitions = self._topics[log], self._partitions[log]
            for line, time in zip(records, times[log], strict=True):
                self._send(topic, self._sent[log] % partitions, line, time)
                self._sent[log] += 1
        self._producer.poll(0)
        self._check()

    def close(self) -> None:
        """Waits until the broker has all records.

        Raises:
            DataError: if it does not take them.
        """
        left = self._producer.flush(_DELIVERY_SECONDS)
        self._check()
        if left:
            raise DataError(
                f"{left:,} records were not taken by {self._servers} in"
                f" {_DELIVERY_SECONDS} s: check the broker, and replay again into new"
                " topics"
            )

    def _send(self, topic: str, partition: int, line: bytes, time: int) -> None:
        while True:
            try:
                self._producer.produce(
                    topic,
                    value=line,
                    partition=partition,
                    timestamp=max(time, 1),  # 0 would be the time of day
                    on_delivery=self._delivered,
                )
                return
            except BufferError:
                self._producer.poll(0.1)
                self._check()

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _check(self) -> None:
        if self._failure is not None:
            raise DataError(
                f"{self._servers} did not take a record: {self._failure.str()}. Mend"
                " the cause, and replay again into new topics"
            )

    def _found(self, make_partitions: int | None) -> dict[str, int]:
        """Returns the number of partitions of each log's topic."""
        counts = self._counts()
        missing = [topic for topic in self._topics.values() if topic not in counts]
        if missing and make_partitions is None:
            raise DataError(
                f"{self._servers} has no topic {', '.join(missing)}: make it there, or"
                " say --partitions N"
            )
        if missing:
            self._make(missing, make_partitions or 1)
            counts |= dict.fromkeys(missing, make_partitions or 1)
        return {log: counts[topic] for log, topic in self._topics.items()}

    def _counts(self) -> dict[str, int]:
        try:
            listed = self._producer.list_topics(timeout=_ANSWER_SECONDS).topics
        except self._kafka.KafkaException as error:
            raise DataError(
                f"{self._servers} does not answer ({error.args[0].str()}): check"
                " stream.kafka, and that a broker runs there"
            ) from error
        return {n: len(t.partitions) for n, t in listed.items() if t.error is None}

    def _make(self, topics: Sequence[str], partitions: int) -> None:
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        own = ("acks", "enable.idempotence", "linger.ms", "message.timeout.ms")
        client = AdminClient({n: v for n, v in self._options.items() if n not in own})
        made = client.create_topics([NewTopic(t, partitions) for t in topics])
        for topic, asked in made.items():
            try:
                asked.result(_ANSWER_SECONDS)
            except self._kafka.KafkaException as error:
                raise DataError(
                    f"{self._servers} does not make the topic {topic}:"
                    f" {error.args[0].str()}"
                ) from error
