"""Windows from tensorflow-io's Kafka group dataset: each message at most once.

The broker keeps the position, in a consumer group, and moves it while messages are
fetched, not when they are learned: what was fetched and not learned when the process
ends is lost. The dataset tells no offsets, so nothing can be read again, dead letters
have none, and the lag is not known. It is offered where a group must share a topic
among trainers, or where tensorflow-io is what a site has; `exact` is the engine to use.

Its settings are checked here, because several values break it without a word: see
`group_settings`.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Any, ClassVar, Self

import tensorflow as tf

from configs.errors import DataError, JobError
from configs.kafka import SECRETS, Kafka, client_options
from trainer.inputs.dead_messages import DeadMessage, DeadMessages
from trainer.inputs.filesystems import tensorflow_io
from trainer.inputs.kafka_source import Windows
from trainer.inputs.screening import Screen
from trainer.inputs.stream_source import (
    SourceStatus,
    StreamPosition,
    StreamWindow,
    WindowGone,
)

__all__ = ["TensorflowIoSource", "group_settings"]

_AT_ONCE = 256
"""Messages that the kernel gathers before it gives any. librdkafka's default, 10,000,
holds back a slow topic for hours."""

_MOST_AT_ONCE = 1024

_POLL_MS = 200
"""The kernel looks so often; with several other values its arithmetic overflows, and
the stream ends at once."""

_SILENCE_MS = 600
"""A pass over the dataset ends after so long without a message."""

_END_SECONDS = 10.0
"""With `until_end` the stream has ended after so long without a message: joining the
group takes up to four seconds."""

_POSITION = "tensorflow_io"

_BATCH = "batch.num.messages"


class TensorflowIoSource:
    """A topic of serialized examples; see `trainer.inputs.stream_source`.

    One of them in a process: its kernels share counters.

    Args:
        kafka: how the brokers are reached.
        topic: its name.
        group: whose position the broker keeps.
        windows: how they are cut.
        screen: tells which messages are examples.
        dead: takes the others.

    Raises:
        JobError: if an option would break the dataset.
        DataError: if tensorflow-io cannot be imported.
    """

    _opened: ClassVar[bool] = False

    def __init__(
        self,
        kafka: Kafka,
        topic: str,
        group: str,
        windows: Windows,
        screen: Screen,
        dead: DeadMessages,
    ) -> None:
        self._settings = group_settings(kafka)
        self._servers = client_options(kafka)["bootstrap.servers"]
        self._topic = topic
        self._group = group
        self._windows = windows
        self._screen = screen
        self._dead = dead
        self._rows: list[bytes] = []
        self._counters: Counter[str] = Counter()
        self._position: StreamPosition = {}
        self._dataset: tf.data.Dataset | None = None
        self._iterator: Iterator[Any] | None = None
        self._first: float | None = None
        self._heard = time.monotonic()

    def open(self, position: StreamPosition) -> None:
        """Joins the group, at the position that the broker keeps for it."""
        if position and _POSITION not in position:
            raise DataError(
                f"this run has read {', '.join(position)} with positions of its own,"
                " which stream.train.engine: tensorflow_io cannot go on from: use"
                " 'exact', or begin a new run"
            )
        if TensorflowIoSource._opened:
            raise DataError(
                "tensorflow-io's Kafka dataset was opened in this process before, and"
                " two of them disturb each other: use stream.train.engine: exact"
            )
        streaming = tensorflow_io(
            "stream.train.engine: tensorflow_io reads Kafka",
            "use stream.train.engine: exact",
        ).experimental.streaming
        print(
            "warning: stream.train.engine: tensorflow_io learns each message at most"
            " once: what it has fetched and not learned when it ends is lost",
            file=sys.stderr,
        )
        try:
            messages = streaming.KafkaGroupIODataset(
                topics=[self._topic],
                group_id=self._group,
                servers=self._servers,
                stream_timeout=_SILENCE_MS,
                message_poll_timeout=_POLL_MS,
                configuration=self._settings,
            )
        except tf.errors.OpError as error:
            raise JobError(
                f"tensorflow-io cannot read {self._topic}: {error.message}. Its client"
                " is librdkafka 1.5.0, which knows fewer options than that of 'exact'"
            ) from error
        TensorflowIoSource._opened = True
        self._dataset = messages.map(lambda message, _: message).batch(_AT_ONCE)
        self._position = position
        self._heard = time.monotonic()

    def next_window(
        self, wait: float, end: StreamPosition | None = None
    ) -> StreamWindow | None:
        """See `StreamSource`; a window cannot be read again."""
        if end is not None:
            raise WindowGone(f"{self._topic}: this engine cannot read anything again")
        ends = time.monotonic() + wait
        while True:
            if self._rows and (len(self._rows) >= self._windows.rows or self._closes()):
                return self._window()
            if time.monotonic() >= ends or self.ended:
                return None
            self._read()

    @property
    def ended(self) -> bool:
        """See `StreamSource`."""
        silent = time.monotonic() - self._heard
        return self._windows.until_end and not self._rows and silent > _END_SECONDS

    def status(self) -> SourceStatus:
        """See `StreamSource`; this engine knows neither lag nor absence."""
        return SourceStatus()

    def note(self, position: StreamPosition) -> None:
        """Does nothing: the group's position is what it is."""

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Lets go of the dataset."""
        self._iterator = self._dataset = None

    def _closes(self) -> bool:
        now = time.monotonic()
        if self._windows.until_end:
            return now - self._heard > _END_SECONDS
        return self._first is not None and now - self._first >= self._windows.wait

    def _read(self) -> None:
        if self._iterator is None:
            self._iterator = iter(self._dataset or ())
        found = next(self._iterator, None)
        if found is None:
            self._iterator = None  # silence; the next pass goes on where this one ended
            return
        self._heard = time.monotonic()
        values = found.numpy().tolist()
        problems = self._screen.problems(values)
        self._rows += [v for place, v in enumerate(values) if place not in problems]
        self._counters.update(f"dead_letters.{why}" for why, _ in problems.values())
        self._dead.put(
            [
                DeadMessage(
                    topic=self._topic,
                    partition=-1,
                    offset=-1,
                    reason=reason,
                    detail=detail,
                    time=-1,
                    value=values[place],
                )
                for place, (reason, detail) in sorted(problems.items())
            ]
        )
        self._dead.check_share(len(values))
        if self._rows and self._first is None:
            self._first = self._heard

    def _window(self) -> StreamWindow:
        rows, self._rows = (
            self._rows[: self._windows.rows],
            self._rows[self._windows.rows :],
        )
        counters, self._counters = self._counters, Counter()
        self._first = time.monotonic() if self._rows else None
        start = self._position
        self._position = {_POSITION: {self._topic: self._group}}
        return StreamWindow(
            serialized=tf.constant(rows, tf.string),
            start=start,
            position=self._position,
            counters=dict(counters),
        )


def group_settings(kafka: Kafka) -> list[str]:
    """Returns the `key=value` settings of the dataset.

    Raises:
        JobError: if a value would be cut (it holds `=`), dropped without a word (it
            holds `conf.`), written to the log (secrets), or would hold messages back.
    """
    problems = []
    options = {_BATCH: str(_AT_ONCE), "auto.offset.reset": "earliest"}
    options |= {name: str(value) for name, value in kafka.options.items()}
    filled = client_options(kafka)
    entries = []
    for name in options:
        value = filled.get(name, options[name])
        if "=" in value:
            problems.append(f"the value of {name} holds '=', at which it would be cut")
        if "conf." in f"{name}={value}":
            problems.append(f"{name} holds 'conf.', and would be dropped silently")
        if name in SECRETS and not _quiet():
            problems.append(
                f"{name} would be written to the log: export TF_CPP_MIN_LOG_LEVEL=1"
            )
        entries.append(f"{name}={value}")
    batch = options[_BATCH]
    if not batch.isdigit() or not 1 <= int(batch) <= _MOST_AT_ONCE:
        problems.append(
            f"{_BATCH} is {batch}: that many are waited for; expected 1 to"
            f" {_MOST_AT_ONCE}"
        )
    if problems:
        raise JobError(
            "stream.train.engine: tensorflow_io cannot take stream.kafka.options: "
            + "; ".join(problems)
            + ". The engine 'exact' can"
        )
    return entries


def _quiet() -> bool:
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0")
    return level.isdigit() and int(level) >= 1
