"""Writes the examples of a micro-batch to a Kafka topic, once, whatever happens.

All examples of a micro-batch are one transaction. Inside it, the offsets of the join's
group on the topic are committed: of each partition where the micro-batch ends, with its
number as metadata. So the broker itself knows, in one step with the examples, which
micro-batch went out and where it ended; a join that was killed asks it. Readers of
committed messages see all examples of a micro-batch or none.

A message is a serialized example; its key the fingerprint of the event (8 bytes, most
significant first), its timestamp the event time. The id whose rows belong together (a
context of the losses, else the request, else the event) decides on the partition, so
that they stay side by side.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from configs.durations import duration_ms
from configs.errors import DataError
from configs.job import Job
from configs.kafka import consumer_options, producer_options
from configs.layout import layout_of
from configs.manifest import ExampleSplit, read_manifest
from configs.stream_sets import set_name
from preprocessing.kafka import confluent_kafka, kafka_of
from preprocessing.stream.kafka_logs import group_of
from preprocessing.stream.output import Output
from preprocessing.stream.patience import Patience, is_passing

__all__ = ["KafkaOutput", "open_kafka_output"]

_TRANSACTION_SECONDS = 300
"""After so long the broker gives up a transaction whose writer has gone silent."""
_POLLED_MESSAGES = 500
_BATCH = "batch "
_FENCED = ("_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH")


def open_kafka_output(job: Job) -> Output | None:
    """Returns the topic of a job's examples, None if it names none."""
    named = job.stream is not None and job.stream.examples_topic is not None
    return KafkaOutput(job) if named else None


class _Undelivered(Exception):
    """The broker has not taken a message."""


class KafkaOutput:
    """The topic of a job's examples. See `preprocessing.stream.output`.

    Args:
        job: that names it.
        watch: is told each step, before it is taken; for tests.
    """

    def __init__(self, job: Job, watch: Callable[[str], None] = lambda step: None):
        stream = job.stream
        if stream is None or stream.join is None or stream.examples_topic is None:
            raise ValueError("the job has no stream.examples_topic")
        kafka = kafka_of(job)
        self._kafka = confluent_kafka()
        self._topic = stream.examples_topic
        self._examples = Path(job.data.examples)
        ids = layout_of(job).ids
        self._ids = len(ids), 0 if job.adjacent is None else ids.index(job.adjacent)
        self._group = group_of(job)
        seconds = duration_ms(stream.join.away) / 1_000
        self._patience = Patience(kafka.servers, seconds)
        self._away = Patience(kafka.servers, seconds)  # until a transaction succeeds
        self._watch = watch
        shared: dict[str, Any] = {"error_cb": self._patience.note}
        options: dict[str, Any] = {
            "transaction.timeout.ms": _TRANSACTION_SECONDS * 1_000,
            "linger.ms": 20,
        }
        options |= producer_options(kafka, self._group)
        self._options = options | shared | {"on_delivery": self._delivered}
        reading = {"fetch.wait.max.ms": 100}
        self._consumer = self._kafka.Consumer(
            reading | consumer_options(kafka, self._group) | shared
        )
        self._patience.listen = lambda: self._consumer.poll(0)
        self._producer: Any = None
        self._begun = 0.0
        self._stops: dict[int, int] = {}
        self._refused: Any = None

    def send(
        self, batch: int, folder: Path, splits: Mapping[str, ExampleSplit]
    ) -> dict[str, dict[int, int]]:
        """Sends the training examples of a micro-batch (see `Output.send`).

        Raises:
            DataError: if the topic is not there, holds other micro-batches than it
                should, another join writes to it, or the broker stays away.
        """
        split = splits.get("train")
        shards = [] if split is None else [folder / s.path for s in split.shards]
        while True:
            try:
                positions = self._attempt(batch, shards)
                self._away.answered()
                return {self._topic: positions}
            except (self._kafka.KafkaException, _Undelivered) as failed:
                self._recover(failed.args[0])

    def _attempt(self, batch: int, shards: Sequence[Path]) -> dict[int, int]:
        """Returns where each partition ends after the micro-batch."""
        producer = self._opened()
        numbers = self._partitions()
        noted = self._noted(numbers)
        last = max((of for _, of in noted.values()), default=None)
        ends = {number: end for number, (end, _) in noted.items()}
        if last == batch:
            return ends
        self._check_order(batch, last)
        ends |= {n: self._end(n) for n in numbers if n not in ends}
        self._stops, self._refused = {}, None
        self._watch("begin")
        producer.begin_transaction()
        self._begun = time.monotonic()
        self._produce(producer, shards, len(numbers))
        ends |= self._stops
        self._watch("offsets")
        producer.send_offsets_to_transaction(
            [self._noting(number, ends[number], batch) for number in numbers],
            self._consumer.consumer_group_metadata(),
            self._patience.call_seconds,
        )
        self._watch("commit")
        producer.commit_transaction(self._patience.call_seconds)
        self._watch("committed")
        return ends

    def _produce(self, producer: Any, shards: Sequence[Path], partitions: int) -> None:
        """Sends examples, and waits until the broker has them."""
        for count, (key, group, at, value) in enumerate(self._rows(shards)):
            while True:
                try:
                    producer.produce(
                        self._topic,
                        value=value,
                        key=key.to_bytes(8, "big"),
                        partition=group % partitions,
                        timestamp=max(at, 1),  # 0 would be the time of day
                    )
                    break
                except BufferError:
                    self._deliver(producer, 0.1)
            if count % _POLLED_MESSAGES == 0:
                producer.poll(0)
            if count == 0:
                self._watch("sending")
        self._watch("flush")
        while len(producer):
            self._deliver(producer, 0.5)
        self._deliver(producer, 0.0)

    def _rows(self, shards: Sequence[Path]) -> Iterator[tuple[int, int, int, bytes]]:
        from preprocessing.stream.keyed_examples import keyed_examples  # TensorFlow

        for shard in shards:
            yield from keyed_examples(shard, *self._ids)

    def _deliver(self, producer: Any, seconds: float) -> None:
        """Lets messages go out.

        Raises:
            _Undelivered: if the broker refused one.
            DataError: if the broker stays away.
        """
        before = len(producer)
        producer.poll(seconds)
        if self._refused is not None:
            raise _Undelivered(self._refused)
        if len(producer) < before:
            self._patience.answered()
        elif seconds:
            self._patience.waited()

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            self._stops[message.partition()] = message.offset() + 1
        elif self._refused is None:
            self._refused = error

    def _opened(self) -> Any:
        """Returns the producer; a new one ends what an earlier one had begun."""
        if self._producer is None:
            producer = self._kafka.Producer(self._options)
            self._watch("open")
            self._producer = producer
            producer.init_transactions(self._patience.call_seconds)
        return self._producer

    def _partitions(self) -> list[int]:
        def listed() -> Any:
            found = self._consumer.list_topics(
                self._topic, timeout=self._patience.call_seconds
            )
            return found.topics[self._topic]

        for attempt in range(25):
            metadata = self._ask(listed)
            if metadata.error is None and metadata.partitions:
                return sorted(metadata.partitions)
            self._patience.pause(last=attempt == 24)  # so it may seem at its start
        raise DataError(
            f"Kafka has no topic {self._topic!r} ({metadata.error}), which"
            " stream.examples_topic names: make it there, or mend the name"
        )

    def _noted(self, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Returns of each partition where the last micro-batch ended, and which that
        was."""
        wanted = [self._kafka.TopicPartition(self._topic, n) for n in numbers]

        def asked() -> Any:
            return self._consumer.committed(wanted, self._patience.call_seconds)

        noted = {}
        for found in self._ask(asked):
            if found.error is not None:
                raise self._kafka.KafkaException(found.error)
            if found.offset >= 0:
                noted[found.partition] = (found.offset, self._number(found))
        return noted

    def _number(self, found: Any) -> int:
        text = found.metadata or ""
        if not text.startswith(_BATCH) or not text[len(_BATCH) :].isdigit():
            raise DataError(
                f"the group {self._group} has noted {text!r} for {self._topic},"
                " expected the number of a micro-batch: something else commits"
                " offsets of this group. Give the job another name, or the other one"
                " another group"
            )
        return int(text[len(_BATCH) :])

    def _noting(self, number: int, end: int, batch: int) -> Any:
        return self._kafka.TopicPartition(
            self._topic, number, end, metadata=f"{_BATCH}{batch}"
        )

    def _end(self, number: int) -> int:
        partition = self._kafka.TopicPartition(self._topic, number)
        seconds = self._patience.call_seconds
        _, end = self._ask(
            lambda: self._consumer.get_watermark_offsets(partition, timeout=seconds)
        )
        return int(end)

    def _check_order(self, batch: int, last: int | None) -> None:
        """Checks that the topic holds all micro-batches before, and none after."""
        if last is None:
            self._check_forgotten(batch)
        elif last > batch:
            raise DataError(
                f"{self._topic} has the examples of micro-batch {last}, and the join's"
                f" state is at {batch}: the state is older than the topic (of a backup,"
                " or begun anew), and would write examples again. Name another topic"
                " in stream.examples_topic, and let the trainer read that"
            )
        elif last < batch - 1:
            raise DataError(
                f"{self._topic} has the examples up to micro-batch {last}, and this is"
                f" {batch}: those between are in {self._examples} alone. Name another"
                " topic in stream.examples_topic, which begins here"
            )

    def _check_forgotten(self, batch: int) -> None:
        """Where the broker knows of no micro-batch (it forgets groups that were silent
        for a week): checks that none came after the one before."""
        try:
            manifest = read_manifest(self._examples / set_name(batch - 1))
        except DataError:
            return  # nothing was written yet, or sets are removed
        before = {} if manifest.stream is None else manifest.stream.topics
        starts = before.get(self._topic)
        if starts and self._holds_messages(starts):
            raise DataError(
                f"{self._topic} has examples behind those of micro-batch {batch - 1},"
                f" and the broker has forgotten what the group {self._group} noted: it"
                f" cannot be told whether they are of micro-batch {batch}. Name another"
                " topic in stream.examples_topic, which begins here"
            )

    def _holds_messages(self, starts: Mapping[int, int]) -> bool:
        """Returns whether there are committed messages from some offsets on."""
        partitions = [
            self._kafka.TopicPartition(self._topic, n, start)
            for n, start in starts.items()
        ]
        self._consumer.assign(partitions)
        left = set(starts)
        try:
            while left:
                for message in self._consumer.consume(1, timeout=0.5):
                    error = message.error()
                    if error is None:
                        return True
                    if error.name() == "_PARTITION_EOF":
                        left.discard(message.partition())
                    elif not is_passing(error):
                        raise self._kafka.KafkaException(error)
                    else:
                        self._patience.waited()
        finally:
            self._consumer.unassign()
        return False

    def _recover(self, error: Any) -> None:
        """Makes ready for another attempt, with a new producer: it ends what this one
        had begun, and whether that had gone out is then asked anew.

        Raises:
            DataError: if none would go better, or the broker stays away.
        """
        producer, self._producer = self._producer, None
        fenced = error.name() in _FENCED
        if fenced and time.monotonic() - self._begun < 0.9 * _TRANSACTION_SECONDS:
            raise DataError(
                f"another join writes to Kafka as {self._group}: jobs of one name must"
                " not run twice. End the other one, or give this job another name"
            )
        if is_passing(error) or error.fatal() or error.txn_requires_abort():
            if producer is not None:
                producer.poll(0)  # brings what is wrong
                producer.purge()
            self._patience.check()
            self._away.note(error)
            self._away.waited()
            self._away.pause(last=False)
            return
        if producer is not None and self._refused is not None:
            with suppress(self._kafka.KafkaException):
                producer.abort_transaction(self._patience.call_seconds)
        raise DataError(
            f"{self._topic} does not take the examples of a micro-batch"
            f" ({error.str()}), and has none of them: mend the cause, such as the"
            " topic's max.message.bytes or the rights of this user"
        )

    def _ask(self, call: Callable[[], Any]) -> Any:
        return self._patience.ask(call, self._kafka.KafkaException)
