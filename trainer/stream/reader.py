"""Makes windows ready while the one before is learned, and no more than that.

A thread of its own reads and parses. It waits while a window lies ready, so that a slow
trainer slows its source down, and memory holds three windows at most: one that is
learned, one that is ready, and one that was read meanwhile.
"""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import tensorflow as tf

from configs.errors import DataError
from configs.layout import EVENT_TIME, ExampleLayout
from trainer.inputs.diagnosis import plain_message
from trainer.inputs.examples import Batch
from trainer.inputs.parts import parse_parts
from trainer.inputs.stream_source import (
    SourceStatus,
    StreamPosition,
    StreamSource,
    StreamWindow,
    WindowGone,
)
from trainer.stream.window_journal import WindowEnd

__all__ = ["Window", "WindowReader", "element_spec_of"]

_WAIT_SECONDS = 0.5
"""The thread looks up so often whether it is to end."""

_CLOSE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """A window that is ready.

    Attributes:
        end: its number, rows and bounds.
        batches: in order; each has a part for each device.
        first_time: earliest event time, in ms.
        last_time: latest event time.
        again: whether it was learned before, by weights that a crash has undone.
        status: of the source when it was read.
        counters: what was lost or put aside before its end, by reason.
        arrived: when its newest row could be read first, in ms, where that is known.
    """

    end: WindowEnd
    batches: Sequence[tuple[Batch, ...]]
    first_time: int
    last_time: int
    again: bool
    status: SourceStatus
    counters: dict[str, int] = field(default_factory=dict)
    arrived: int | None = None


def element_spec_of(
    layout: ExampleLayout, shares: int
) -> tuple[dict[str, tf.TensorSpec], ...]:
    """Returns the type of the batches of windows."""
    rows = tf.data.Dataset.from_tensor_slices(tf.zeros([1], tf.string)).batch(1)
    spec = rows.map(lambda x: parse_parts(x, layout, shares)).element_spec
    return tuple(spec)


class WindowReader:
    """Gives the windows of a source in order; a context manager that ends its thread.

    Args:
        source: opened at `position`.
        layout: of the examples.
        batch_size: rows of a batch over all devices.
        shares: devices.
        window: number of the first window.
        again: ends of the first windows, which were read before.
    """

    def __init__(
        self,
        source: StreamSource,
        layout: ExampleLayout,
        *,
        batch_size: int,
        shares: int,
        window: int,
        again: Sequence[WindowEnd] = (),
    ) -> None:
        self._source = source
        self._batch_size = batch_size
        self._number = window
        self._again = list(again)
        signature = [tf.TensorSpec([None], tf.string)]
        self._parse = tf.function(
            lambda x: parse_parts(x, layout, shares),
            input_signature=signature,
            autograph=False,
        )
        self._ready: queue.Queue[Window | BaseException | None] = queue.Queue(1)
        self._stop = threading.Event()
        self._note: StreamPosition | None = None
        self._status = SourceStatus()
        self._thread = threading.Thread(target=self._run, name="windows", daemon=True)

    @property
    def status(self) -> SourceStatus:
        """Of the source, when it was asked last."""
        return self._status

    def next(self, wait: float) -> Window | None:
        """Returns the next window; None if there is none within `wait` seconds.

        Raises:
            StopIteration: if the source has ended.
            PairstreamError: what the source raised.
        """
        try:
            found = self._ready.get(timeout=wait)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        if found is None:
            raise StopIteration
        return found

    def note(self, position: StreamPosition) -> None:
        """Tells the source that a checkpoint holds a position."""
        self._note = position

    def __enter__(self) -> Self:
        """Begins to read."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends reading."""
        self._stop.set()
        self._thread.join(_CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._tell()

    def _run(self) -> None:
        try:
            with tf.device("CPU:0"):
                while not self._stop.is_set():
                    self._tell()
                    window = self._read()
                    self._status = self._source.status()
                    if window is not None:
                        self._give(window)
                    elif self._source.ended:
                        return self._give(None)
        except BaseException as error:  # it is raised where windows are asked for
            self._give(error)

    def _give(self, found: Window | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                return self._ready.put(found, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue

    def _tell(self) -> None:
        note, self._note = self._note, None
        if note is not None:
            self._source.note(note)

    def _read(self) -> Window | None:
        again = self._again[0] if self._again else None
        end = None if again is None else again.position
        try:
            found = self._source.next_window(_WAIT_SECONDS, end)
        except WindowGone:
            self._again = []  # the loop forgets them with the first new one
            return None
        if found is None:
            return None
        if again is not None:
            _check_same(found, again)
            self._again.pop(0)
        window = self._made(found, again=again is not None)
        self._number += 1
        return window

    def _made(self, found: StreamWindow, *, again: bool) -> Window:
        starts = range(0, found.rows, self._batch_size)
        try:
            batches = found.batches or [
                self._parse(found.serialized[start : start + self._batch_size])
                for start in starts
            ]
        except tf.errors.OpError as error:
            raise DataError(
                f"rows of the window from {found.start} to {found.position} are no"
                f" examples of this job: {plain_message(error)}. Run `python -m"
                " preprocessing check` on the set to see which"
            ) from error
        times = _event_times(batches)
        return Window(
            end=WindowEnd(
                window=self._number,
                rows=found.rows,
                start=found.start,
                position=found.position,
            ),
            batches=batches,
            first_time=int(times.min()),
            last_time=int(times.max()),
            again=again,
            counters=dict(found.counters),
            arrived=found.arrived,
            status=self._source.status(),
        )


def _check_same(found: StreamWindow, again: WindowEnd) -> None:
    if (found.rows, found.position) != (again.rows, again.position):
        raise DataError(
            f"window {again.window} had {again.rows} rows up to {again.position}, and"
            f" now it has {found.rows} up to {found.position}: the stream is another"
            " than it was. Go on with the old one, or start again with --overwrite"
        )


def _event_times(batches: Sequence[tuple[Batch, ...]]) -> Any:
    return np.concatenate([p[EVENT_TIME].numpy() for parts in batches for p in parts])
