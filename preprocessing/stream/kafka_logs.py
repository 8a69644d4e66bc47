"""Reads logs from Kafka topics: ranges of offsets are frozen, then spooled to files.

Positions are ours: partitions are assigned by hand, and what the broker has noted for
the group is for dashboards only. Only committed messages are read. A partition is named
`topic/number`; one that is added later is read from its first message on.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.durations import duration_ms
from configs.errors import DataError
from configs.job import Job
from configs.kafka import consumer_options
from configs.topic_identity import check_topic_identities
from preprocessing.fields import (
    IMPRESSIONS,
    Field,
    behaviour_log_name,
    event_fields,
    event_log_name,
    impression_fields,
)
from preprocessing.kafka import confluent_kafka, kafka_of
from preprocessing.stream.arrivals import Arrivals, Frozen, Part, Range
from preprocessing.stream.kafka_heads import next_times
from preprocessing.stream.kafka_spool import Spool
from preprocessing.stream.patience import Patience

__all__ = ["KafkaLogs", "group_of", "open_kafka_logs"]

_STEPS = 40
"""Halvings of a span of time, at most: milliseconds of 30 years."""
_RECHECKS = 25
"""Times that a broker is asked again whose partition seems to have become shorter, as
it may seem while it starts."""


def open_kafka_logs(job: Job) -> Arrivals | None:
    """Returns the logs of a job that names topics, None for others."""
    join = None if job.stream is None else job.stream.join
    return KafkaLogs(job) if join is not None and join.topics else None


def group_of(job: Job) -> str:
    """Returns the group under which the join notes positions at the broker."""
    return f"pairstream-join-{job.name}"


class KafkaLogs:
    """The logs of a job in topics. See `preprocessing.stream.arrivals`."""

    def __init__(self, job: Job) -> None:
        kafka = kafka_of(job)
        join = job.stream.join if job.stream is not None else None
        if join is None:
            raise ValueError("the job has no stream.join")
        self._kafka = confluent_kafka()
        self._servers = kafka
        self._identities = Path(join.state) / "topics.json"
        self._checked = False
        self._topics = {topic: _log(job, name) for name, topic in join.topics.items()}
        self._expired = join.expired
        self._told: set[tuple[str, int, int]] = set()
        self._future = join.future
        self._patience = Patience(kafka.servers, duration_ms(join.away) / 1_000)
        # What lies behind the last record, but marks of transactions, is asked for too.
        options: dict[str, Any] = {"fetch.wait.max.ms": 100}
        # Of each partition that is read; the client's default is four times as much.
        options |= {"queued.max.messages.kbytes": 16_384}
        options |= consumer_options(kafka, group_of(job))
        options["error_cb"] = self._patience.note
        self._consumer = self._kafka.Consumer(options)
        # Where nothing is assigned, no message comes of it.
        self._patience.listen = lambda: self._consumer.poll(0)

    def freeze(self, positions: Mapping[str, int], max_records: int) -> Frozen:
        """Decides what the next micro-batch reads (see `Arrivals.freeze`).

        Raises:
            DataError: if messages are gone that were not read, a topic is not there or
                was made anew, or the broker stays away.
        """
        self._note(positions)
        bounds = self._bounds(positions)
        self._check_identities(positions)
        stops = self._stops(bounds, max_records)
        heads = self._heads(bounds, stops)
        ranges, impressions = {}, 0
        for name, (start, end) in bounds.items():
            log, _ = self._topics[_parted(name)[0]]
            stop, head = stops[name], heads.get(_parted(name))
            ranges[name] = Range(
                log=log, start=start, stop=stop, behind=stop < end, head=head
            )
            impressions += stop - start if log == IMPRESSIONS else 0
        return Frozen(
            ranges=ranges,
            impressions=impressions,
            left=sum(end - stops[name] for name, (_, end) in bounds.items()),
            unit="messages",
        )

    def parts(self, frozen: Frozen, folder: Path) -> list[Part]:
        """Spools the messages of frozen ranges (see `Arrivals.parts`).

        Raises:
            DataError: if some are gone, or the broker stays away.
        """
        wanted = {n: r for n, r in frozen.ranges.items() if r.start < r.stop}
        times = {name: self._topics[_parted(name)[0]][1] for name in wanted}
        spool = Spool(self._kafka, self._consumer, self._patience)
        return spool.write(
            {n: (*_parted(n), wanted[n], times[n]) for n in wanted}, folder
        )

    def positions(self, before: Mapping[str, int], frozen: Frozen) -> dict[str, int]:
        """Returns where each partition is read to after `frozen`."""
        return {**before, **{name: r.stop for name, r in frozen.ranges.items()}}

    def _bounds(self, positions: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Returns where each partition is read from, and its end."""
        numbers = {topic: self._numbers(topic) for topic in self._topics}
        for name in positions:
            topic, number = _parted(name)
            if number not in numbers.get(topic, ()):
                raise DataError(
                    f"{name} was read to offset {positions[name]:,}, and is not there:"
                    f" {_found(topic, numbers.get(topic))}. Topics of a join cannot be"
                    " taken away; begin anew with another stream.join.state"
                )
        names = [f"{topic}/{n}" for topic, found in numbers.items() for n in found]
        return {name: self._bound(name, positions.get(name)) for name in names}

    def _check_identities(self, positions: Mapping[str, int]) -> None:
        """Makes sure, once, that the topics are those that were read before."""
        if self._checked:
            return
        read = {_parted(name)[0] for name in positions}
        check_topic_identities(
            self._kafka,
            self._servers,
            {topic: topic not in read for topic in self._topics},
            self._identities,
            mend="Begin anew with another stream.join.state and data.examples",
        )
        self._checked = True

    def _numbers(self, topic: str) -> list[int]:
        """Returns the partitions of a topic."""

        def listed() -> Any:
            found = self._consumer.list_topics(
                topic, timeout=self._patience.call_seconds
            )
            return found.topics[topic]

        for attempt in range(_RECHECKS):
            metadata = self._patience.ask(listed, self._kafka.KafkaException)
            if metadata.error is None and metadata.partitions:
                return sorted(metadata.partitions)
            # So it may seem while a broker starts.
            self._patience.pause(last=attempt == _RECHECKS - 1)
        raise DataError(
            f"Kafka has no topic {topic!r} ({metadata.error}), which stream.join.topics"
            " names: make it there, or mend the name"
        )

    def _bound(self, name: str, position: int | None) -> tuple[int, int]:
        topic, number = _parted(name)
        partition = self._kafka.TopicPartition(topic, number)

        def asked() -> tuple[int, int]:
            low, high = self._consumer.get_watermark_offsets(
                partition, timeout=self._patience.call_seconds
            )
            return int(low), int(high)

        for attempt in range(_RECHECKS):
            low, high = self._patience.ask(asked, self._kafka.KafkaException)
            if position is None:
                return low, max(low, high)
            if low <= position <= high:
                return position, high
            if position < low:
                return self._lost(name, position, low), max(low, high)
            self._patience.pause(last=attempt == _RECHECKS - 1)
        raise DataError(
            f"{name} was read to offset {position:,} and ends at {high:,}: the topic"
            " was made anew, or the broker has lost messages. Begin anew with another"
            " stream.join.state"
        )

    def _lost(self, name: str, position: int, low: int) -> int:
        lost = f"{low - position:,} messages of {name} ({position:,} to {low:,})"
        if self._expired == "fail":
            raise DataError(
                f"{lost} were dropped by Kafka before they were read: keep messages for"
                " longer (retention.ms of the topic). With stream.join.expired:"
                " earliest the join goes on without them"
            )
        if (name, position, low) not in self._told:
            self._told.add((name, position, low))
            print(
                f"warning: {lost} were dropped by Kafka before they were read; going on"
                " with the earliest left (stream.join.expired)",
                file=sys.stderr,
            )
        return low

    def _stops(
        self, bounds: Mapping[str, tuple[int, int]], max_records: int
    ) -> dict[str, int]:
        """Returns where each partition is read to.

        Where there is too much, all partitions are read to the same time of their
        messages, so that none runs ahead of the others.
        """
        ends = {name: end for name, (_, end) in bounds.items()}
        total = sum(end - start for start, end in bounds.values())
        if total <= max_records:
            return ends
        low, high = 0, 2**42  # year 2109
        stops = {name: start for name, (start, _) in bounds.items()}
        for _ in range(_STEPS):
            middle = (low + high) // 2
            found = self._stops_at(middle, bounds)
            count = sum(found[name] - bounds[name][0] for name in bounds)
            if count > max_records:
                high = middle
                continue
            low, stops = middle, found
            if count > 0.9 * max_records or low + 1 >= high:
                break
        if stops != {name: start for name, (start, _) in bounds.items()}:
            return stops
        # All of one time, or without times: a share of each.
        return {
            name: start + -(-(end - start) * max_records // total)
            for name, (start, end) in bounds.items()
        }

    def _heads(
        self, bounds: Mapping[str, tuple[int, int]], stops: Mapping[str, int]
    ) -> dict[tuple[str, int], int]:
        """Returns the time of the next record of each partition that holds more."""
        places = {n: _parted(n) for n, (_, end) in bounds.items() if stops[n] < end}
        wanted = {
            place: (stops[name], self._topics[place[0]][1])
            for name, place in places.items()
        }
        heads = next_times(self._kafka, self._consumer, self._patience, wanted)
        # A record of the future must not let those behind it wait.
        latest = time.time() * 1_000 + duration_ms(self._future)
        return {place: head for place, head in heads.items() if head <= latest}

    def _stops_at(
        self, time: int, bounds: Mapping[str, tuple[int, int]]
    ) -> dict[str, int]:
        """Returns the first offset of each partition whose message is of `time` or
        later, within bounds."""
        wanted = [self._kafka.TopicPartition(*_parted(name), time) for name in bounds]

        def asked() -> Any:
            return self._consumer.offsets_for_times(
                wanted, timeout=self._patience.call_seconds
            )

        answered = self._patience.ask(asked, self._kafka.KafkaException)
        found = {f"{p.topic}/{p.partition}": p for p in answered}
        stops = {}
        for name, (start, end) in bounds.items():
            offset = found[name].offset
            stops[name] = end if offset < 0 else min(max(offset, start), end)
        return stops

    def _note(self, positions: Mapping[str, int]) -> None:
        """Tells the broker where the join is, for those who watch its lag."""
        if positions:
            offsets = [
                self._kafka.TopicPartition(*_parted(name), offset)
                for name, offset in positions.items()
            ]
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except self._kafka.KafkaException as error:
                self._patience.note(error.args[0])


def _log(job: Job, name: str) -> tuple[str, Field]:
    """Returns the name of a log in counters, and the field of its time."""
    if name == "impressions":
        log, fields = IMPRESSIONS, impression_fields(job)
    else:
        named = event_log_name if name in job.data.events else behaviour_log_name
        log, fields = named(name), event_fields(job, name)
    return log, next(field for field in fields if field.kind == "time")


def _parted(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("/")
    return topic, int(number)


def _found(topic: str, numbers: list[int] | None) -> str:
    if numbers is None:
        return f"the job has no topic {topic!r}"
    return f"{topic} has the partitions {numbers[0]} to {numbers[-1]}"
