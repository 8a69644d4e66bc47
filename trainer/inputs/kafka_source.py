"""Windows of examples from a Kafka topic: each message once, in an order of its own.

Which messages a window holds is a function of the position where it starts, as long as
the topic does not grow; on a live topic it also depends on what had come when the
window was closed, and the position behind it says what that was. Messages that are no
examples are put aside before windows are cut, so that training is what it would have
been without them.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from confluent_kafka import KafkaException

from configs.errors import DataError
from configs.kafka import offsets_of
from trainer.inputs.dead_messages import DeadMessages
from trainer.inputs.gathered import Cut, Gathered, Screening
from trainer.inputs.kafka_reader import TopicReader
from trainer.inputs.partition_merge import Block, Buffer, ready_rows
from trainer.inputs.stream_source import (
    SourceStatus,
    StreamPosition,
    StreamWindow,
    WindowGone,
)

__all__ = ["KafkaSource", "Windows"]

_READ_AT_ONCE = 4096
"""Messages of a look; also of a block that is screened."""

_LONGEST_LOOK = 0.1
"""Seconds that a look waits for so many."""

_LEAST_BUFFER = 8192
"""Messages that every partition may have in memory, at least."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How windows are cut.

    Attributes:
        rows: of a window.
        wait: seconds after which one that does not fill is closed.
        expired: what to do when messages are gone that were not read.
        until_end: end with what is in the topic at the start.
        refresh: seconds between looks for new partitions.
    """

    rows: int
    wait: float
    expired: Literal["fail", "earliest"] = "fail"
    until_end: bool = False
    refresh: float = 30.0


class KafkaSource:
    """A topic of serialized examples; see `trainer.inputs.stream_source`.

    Args:
        reader: of the topic.
        topic: its name.
        windows: how they are cut.
        screen: tells which messages are examples.
        dead: takes the others.
        check: makes sure that the topic is the one that was read before; is told
            whether nothing was.
    """

    def __init__(
        self,
        reader: TopicReader,
        topic: str,
        windows: Windows,
        screen: Screening,
        dead: DeadMessages,
        check: Callable[[bool], None] = lambda fresh: None,
    ) -> None:
        self._reader = reader
        self._topic = topic
        self._windows = windows
        self._gathered = Gathered(topic, screen, dead)
        self._buffers = self._gathered.buffers
        self._check = check
        self._position: StreamPosition = {}
        self._counters: Counter[str] = Counter()
        self._first: float | None = None
        self._refreshed = time.monotonic()

    def open(self, position: StreamPosition) -> None:
        """See `StreamSource`."""
        self._position = position
        if position and self._topic not in position:
            raise DataError(
                f"the position to go on from is in {', '.join(position)}, and"
                f" stream.examples_topic is {self._topic}: name that topic, or begin a"
                " run of its own"
            )
        known = offsets_of(position).get(self._topic, {})
        partitions = self._reader.connect()
        self._check(not position)
        vanished = sorted(set(known) - set(partitions))
        if vanished:
            raise DataError(
                f"{self._topic} has no partition {vanished[0]}, from which this run has"
                " read: the topic was made anew. Name it otherwise, or begin a new run"
            )
        for partition in partitions:
            self._add(partition, known.get(partition))
        self._assign()

    def next_window(
        self, wait: float, end: StreamPosition | None = None
    ) -> StreamWindow | None:
        """See `StreamSource`."""
        ends = time.monotonic() + wait
        while True:
            if end is None:
                window, holder = self._cut()
            else:
                window, holder = self._cut_at(offsets_of(end)[self._topic])
            left = ends - time.monotonic()
            if window is not None or left <= 0 or self.ended:
                return window
            self._hold_back(holder)
            self._read(min(left, _LONGEST_LOOK))
            self._look_for_partitions()

    @property
    def ended(self) -> bool:
        """See `StreamSource`."""
        return self._windows.until_end and all(
            buffer.at_end and not len(buffer) for buffer in self._buffers.values()
        )

    def status(self) -> SourceStatus:
        """See `StreamSource`."""
        lag = 0
        for partition, buffer in self._buffers.items():
            end = self._reader.known_end(partition)
            lag += max(0, (buffer.read if end is None else end) - buffer.position)
        return SourceStatus(lag_rows=lag, away_seconds=self._reader.away_seconds())

    def note(self, position: StreamPosition) -> None:
        """See `StreamSource`."""
        self._reader.note(offsets_of(position).get(self._topic, {}))

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the connections."""
        self._reader.close()

    # Cutting windows.

    def _cut(self) -> tuple[StreamWindow | None, int | None]:
        """Returns a new window if there is one, and else the partition it waits for."""
        if self._overdue():
            self._stop_at_ends()
        while True:
            counts, holder = ready_rows(self._buffers)
            ready = sum(counts.values())
            full = ready >= self._windows.rows
            closed = holder is None and ready and self._may_close()
            if not full and not closed:
                self._keep_time()
                return None, holder
            cut = self._gathered.cut(counts, self._windows.rows)
            if cut is not None:
                return self._window(cut), None

    def _cut_at(self, end: dict[int, int]) -> tuple[StreamWindow | None, int | None]:
        """The same for a window that was read before, up to these offsets."""
        for partition, offset in end.items():
            if partition not in self._buffers:
                self._add(partition, None)
                self._assign()
            buffer = self._buffers[partition]
            if self._counters["expired"]:
                raise WindowGone(f"{self._topic}: rows before {end} are gone")
            if buffer.read < offset:
                if buffer.dry:
                    raise DataError(
                        f"{self._topic} {partition} ends at {buffer.read}, and this run"
                        f" has read it up to {offset}: the topic was cut or made anew"
                    )
                return None, partition
        cut = None
        while cut is None:
            counts = {p: self._buffers[p].below(offset) for p, offset in end.items()}
            if not any(counts.values()):
                raise DataError(
                    f"{self._topic} has no row between {self._position} and {end} any"
                    " more: the topic was compacted or made anew"
                )
            cut = self._gathered.cut(counts, sys.maxsize, settled=True)
        # The very position, without partitions that were not known then.
        position = {self._topic: {str(p): offset for p, offset in sorted(end.items())}}
        return self._window(cut, position), None

    def _window(self, cut: Cut, position: StreamPosition | None = None) -> StreamWindow:
        end = offsets_of(position)[self._topic] if position else {}
        counters, self._counters = self._counters, Counter()
        for partition, buffer in self._buffers.items():
            passed = buffer.take(cut.taken.get(partition, 0), end.get(partition))
            counters.update({f"dead_letters.{r}": n for r, n in passed.items()})
        self._first = time.monotonic()
        self._release()
        self._keep_time()
        start = self._position
        offsets = {str(p): b.position for p, b in sorted(self._buffers.items())}
        self._position = position or {self._topic: offsets}
        return StreamWindow(
            serialized=cut.serialized,
            batches=cut.batches,
            start=start,
            position=self._position,
            counters=dict(counters),
        )

    def _keep_time(self) -> None:
        """Counts the wait from the first row that is in no window."""
        if not any(len(buffer) for buffer in self._buffers.values()):
            if self._first is not None:
                self._release()
            self._first = None
        elif self._first is None:
            self._first = time.monotonic()

    def _release(self) -> None:
        """Forgets where the window had to end."""
        if not self._windows.until_end:
            for buffer in self._buffers.values():
                buffer.stop = sys.maxsize

    def _overdue(self) -> bool:
        waited = 0.0 if self._first is None else time.monotonic() - self._first
        return self._first is not None and waited >= self._windows.wait

    def _may_close(self) -> bool:
        return self._windows.until_end or self._overdue()

    def _stop_at_ends(self) -> None:
        """Makes the window end with what is in the topic now: where rows come all the
        time no partition ever runs dry."""
        if any(buffer.stop != sys.maxsize for buffer in self._buffers.values()):
            return
        try:
            ends = {p: self._reader.bounds(p)[1] for p in self._buffers}
        except KafkaException:
            return  # they are away: a window is not closed by that
        for partition, end in ends.items():
            self._buffers[partition].stop = end

    # Reading.

    def _read(self, wait: float) -> None:
        arrived = self._reader.read(_READ_AT_ONCE, wait)
        if arrived.gone:
            self._expire(arrived.gone)
        new: dict[int, Block] = {}
        for partition, block in arrived.blocks.items():
            buffer = self._buffers[partition]
            stop = buffer.stop if self._windows.until_end else sys.maxsize
            new[partition] = block.between(buffer.read, stop)
            buffer.read = max(buffer.read, min(stop, block.offsets[-1] + 1))
            buffer.dry = False
        self._gathered.take_in(new)
        for partition, offset in arrived.dry.items():
            buffer = self._buffers[partition]
            if offset >= buffer.read:
                buffer.read, buffer.dry = offset, True
        self._keep_time()

    def _hold_back(self, holder: int | None) -> None:
        """Bounds what is in memory: a partition that is far ahead of the one that the
        merge waits for is not fetched."""
        most = max(_LEAST_BUFFER, 4 * self._windows.rows // max(1, len(self._buffers)))
        full = {p for p, buffer in self._buffers.items() if len(buffer) >= most}
        if holder is None:
            full = {p for p in full if len(self._buffers[p]) >= self._windows.rows}
        self._reader.pause(full - {holder} if holder is not None else full)

    # Partitions.

    def _add(self, partition: int, offset: int | None) -> None:
        """Begins to read a partition at an offset, or at its beginning."""
        low, high = self._bounds(partition)
        if offset is None:
            # Of a partition that came later, what is gone is a loss as well.
            offset = 0 if self._position else low
        if offset > high:
            raise DataError(
                f"{self._topic} {partition} ends at {high}, and this run has read it up"
                f" to {offset}: the topic was cut or made anew. Begin a new run"
            )
        buffer = Buffer(position=offset, read=offset)
        self._buffers[partition] = buffer
        if offset < low:
            self._lose(partition, low)
        if self._windows.until_end:
            buffer.stop = high

    def _assign(self) -> None:
        self._reader.assign({p: b.read for p, b in self._buffers.items()})

    def _bounds(self, partition: int) -> tuple[int, int]:
        try:
            return self._reader.bounds(partition)
        except KafkaException:
            self._reader.connect()  # waits, and says what is wrong
            return self._reader.bounds(partition)

    def _expire(self, partitions: set[int]) -> None:
        for partition in sorted(partitions):
            low, high = self._bounds(partition)
            buffer = self._buffers[partition]
            if buffer.read > high:
                raise DataError(
                    f"{self._topic} {partition} ends at {high}, and this run has read"
                    f" it up to {buffer.read}: the topic was cut or made anew"
                )
            self._lose(partition, max(low, buffer.read))
        self._assign()

    def _lose(self, partition: int, low: int) -> None:
        """Goes on at the earliest message that is left, if that is wanted."""
        buffer = self._buffers[partition]
        lost = low - buffer.read
        if lost and self._windows.expired == "fail":
            raise DataError(
                f"{self._topic} {partition}: the messages from {buffer.read} to"
                f" {low - 1} were not read yet, and the brokers have dropped them"
                " (retention). With stream.train.expired: earliest training goes on"
                " with those that are left, and counts the loss"
            )
        self._counters["expired"] += lost
        buffer.read = low
        if not len(buffer):
            buffer.position = low

    def _look_for_partitions(self) -> None:
        """Takes up partitions that the topic has got since."""
        now = time.monotonic()
        if self._windows.until_end or now - self._refreshed < self._windows.refresh:
            return
        self._refreshed = now
        try:
            added = [p for p in self._reader.partitions() if p not in self._buffers]
            for partition in added:
                self._add(partition, None)
        except KafkaException:
            return  # asked again later
        if added:
            self._assign()
