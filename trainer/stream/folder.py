"""The example sets of a folder as a stream: new ones are read as they are published.

Sets are read in order: days first (2017-10-01), then numbered ones (00000000), each in
the order of its manifest. A position is the set, the row in it, and by what the set is
known again:

    {"set": "00000007", "row": 120, "rows": 512, "digest": "..."}
"""

import time
from types import TracebackType
from typing import Any, Self

import tensorflow as tf

from configs.durations import duration_ms
from configs.errors import DataError
from configs.job import Job
from trainer.inputs.diagnosis import plain_message
from trainer.inputs.records import ordered_batches
from trainer.inputs.stream_source import (
    SourceStatus,
    StreamPosition,
    StreamWindow,
    WindowGone,
)
from trainer.stream.options import stream_options
from trainer.stream.sets import EXPIRED, OpenedSet, StreamSets, is_later

__all__ = ["FolderSource"]

_POLL_SECONDS = 0.1

_BLOCK = 4096
"""Rows that are read at once."""


class FolderSource:
    """Reads the training split of the sets in `data.examples`.

    Args:
        job: the job.
        until_end: end with the last set that is there, instead of waiting for more.
    """

    def __init__(self, job: Job, *, until_end: bool = False) -> None:
        options = stream_options(job)
        self._window_rows = options.window_rows
        self._window_wait = duration_ms(options.window_wait) / 1_000
        self._expired = options.expired
        self._until_end = until_end
        self._sets = StreamSets(job)
        self._current: OpenedSet | None = None
        self._row = 0
        self._blocks: Any = None
        self._rest: tf.Tensor | None = None
        self._gathered: list[tf.Tensor] = []
        self._counters: dict[str, int] = {}
        self._start: StreamPosition = {}
        self._since = 0.0
        self._ended = False

    def open(self, position: StreamPosition) -> None:
        """Goes to a position. See `StreamSource`."""
        self._start = dict(position)
        if position and "set" not in position:
            raise DataError(
                f"the run stands at {position}, which is no place in a folder of"
                " example sets: it learned from Kafka. Name the topic in"
                " stream.examples_topic again"
            )
        if position:
            self._current = self._sets.known_again(position)
            self._row = int(position["row"])

    @property
    def ended(self) -> bool:
        """Whether the last window of a folder that ends was given."""
        return self._ended

    def next_window(
        self, wait: float, end: StreamPosition | None = None
    ) -> StreamWindow | None:
        """Returns the next window. See `StreamSource`."""
        deadline = time.monotonic() + wait
        while True:
            while wanted := self._wanted(end):
                current = self._current
                if current is not None and self._row < current.rows:
                    self._gather(current, wanted)
                elif not self._go_on():
                    self._check_there(end)
                    break
            if self._closes(end):
                return self._window()
            if self._until_end and end is None:
                self._ended = True
                return None
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_SECONDS)

    def status(self) -> SourceStatus:
        """Returns the rows that are published and were not read."""
        current = self._current
        left = 0 if current is None else current.rows - self._row
        name = None if current is None else current.name
        return SourceStatus(lag_rows=left + self._sets.rows_after(name))

    def note(self, position: StreamPosition) -> None:
        """Does nothing: a folder has no dashboard."""

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the files."""
        self._blocks = None

    def _wanted(self, end: StreamPosition | None) -> int:
        """Returns how many rows the window still takes; with an `end`, of this set."""
        if end is None:
            return self._window_rows - self._count()
        current = self._current
        if current is None:
            return _BLOCK
        same, left = current.name == end["set"], int(end["row"]) - self._row
        if is_later(current.name, end["set"]) and EXPIRED in self._counters:
            raise WindowGone(f"{end['set']} is gone, and rows before it are")
        if is_later(current.name, end["set"]) or (same and left < 0):
            raise DataError(
                f"{current.folder}: a window ended at row {end['row']} of {end['set']},"
                f" and row {self._row} is read already: sets were made again since"
            )
        return left if same else _BLOCK

    def _closes(self, end: StreamPosition | None) -> bool:
        if end is not None:
            return self._position() == end and bool(self._gathered)
        if not self._gathered:
            return False
        waited = time.monotonic() - self._since >= self._window_wait
        return self._count() >= self._window_rows or waited or self._until_end

    def _check_there(self, end: StreamPosition | None) -> None:
        if end is None or self._sets.has(end["set"]):
            return
        if self._expired == "earliest":
            raise WindowGone(f"{end['set']} is gone")
        raise DataError(
            f"a window ended in the set {end['set']}, which is gone before it could be"
            " learned again. Put it back, keep more sets (stream.join.keep_sets), or go"
            " on without it: stream.train.expired: earliest"
        )

    def _window(self) -> StreamWindow:
        window = StreamWindow(
            serialized=tf.concat(self._gathered, 0),
            start=self._start,
            position=self._position(),
            counters=self._counters,
            arrived=None if self._current is None else self._current.published,
        )
        self._start, self._gathered, self._counters = window.position, [], {}
        return window

    def _count(self) -> int:
        return sum(int(rows.shape[0]) for rows in self._gathered)

    def _position(self) -> StreamPosition:
        return {} if self._current is None else self._current.position(self._row)

    def _gather(self, current: OpenedSet, wanted: int) -> None:
        """Takes up to so many rows of the set that is read."""
        if self._rest is None or not int(self._rest.shape[0]):
            self._rest = self._next_block(current)
        taken, self._rest = self._rest[:wanted], self._rest[wanted:]
        self._row += int(taken.shape[0])
        if not self._gathered:
            self._since = time.monotonic()
        self._gathered.append(taken)

    def _go_on(self) -> bool:
        """Opens the next set; returns whether there is one."""
        following, counters = self._sets.after(self._current)
        if following is None:
            return False
        for reason, count in counters.items():
            self._counters[reason] = self._counters.get(reason, 0) + count
        self._current, self._row, self._blocks = following, 0, None
        return True

    def _next_block(self, current: OpenedSet) -> tf.Tensor:
        try:
            if self._blocks is None:
                shards = current.shards
                self._blocks = iter(
                    ordered_batches(current.folder, shards, self._row, _BLOCK)
                )
            block = next(self._blocks)
        except StopIteration:
            raise DataError(
                f"{current.folder} ends after row {self._row}, the manifest says"
                f" {current.rows}. Run `python -m preprocessing check` to see what is"
                " wrong with it"
            ) from None
        except tf.errors.OpError as error:
            raise DataError(
                f"{current.folder}: the rows behind {self._row} cannot be read"
                f" ({plain_message(error)}). Run `python -m preprocessing check` to see"
                " what is wrong"
            ) from error
        if self._row + int(block.shape[0]) > current.rows:
            raise DataError(
                f"{current.folder} has more rows than the {current.rows} of its"
                " manifest: files were changed after it was written"
            )
        return block
