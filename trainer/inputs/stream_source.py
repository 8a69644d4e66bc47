"""What a source of a stream is: it gives windows of rows, with their positions.

A window's rows and their order are a function of the position where it starts and the
position where it ends. Where a live window ends may depend on the clock, so a reader
writes that down before it learns from the window (`trainer.stream.window_journal`), and
after a crash asks for the window with that very end again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import tensorflow as tf

from trainer.inputs.examples import Batch

__all__ = [
    "SourceStatus",
    "StreamPosition",
    "StreamSource",
    "StreamWindow",
    "WindowGone",
]

StreamPosition = dict[str, Any]
"""The next row to be read, as JSON has it: keys are text. Empty before the first row.
Of Kafka {topic: {partition: offset}}."""


class WindowGone(Exception):
    """Raised when a window that was read before cannot be read again, since rows of it
    are gone, and the job says to go on with what is left: new windows can be asked
    for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamWindow:
    """Rows that are first predicted, then learned from.

    Attributes:
        serialized: `tf.train.Example` of the job's layout in order, string [rows]; at
            least one. All of them can be parsed.
        start: position before the first row.
        position: behind the last row.
        counters: what was lost or put aside on the way from start to position, by
            reason (`dead_letters.unreadable`, `expired`).
        batches: the rows parsed, where a source had to do that anyway: of the job's
            batch size, each with a part for each device.
        arrived: when the newest row could be read first, in ms since the epoch; None
            where that is not known.
    """

    serialized: tf.Tensor
    start: StreamPosition
    position: StreamPosition
    counters: Mapping[str, int] = field(default_factory=dict)
    batches: Sequence[tuple[Batch, ...]] | None = None
    arrived: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.serialized.shape[0])


@dataclass(frozen=True, kw_only=True)
class SourceStatus:
    """How far the reader is behind the writers.

    Attributes:
        lag_rows: rows known to lie behind the position of the last window; for Kafka an
            upper bound, since offsets have gaps.
        away_seconds: how long the source has not answered; 0 while it does.
    """

    lag_rows: int = 0
    away_seconds: float = 0.0


class StreamSource(Protocol):
    """Gives windows from a position on; a context manager that lets go of its clients.

    One reader, one thread: nothing may be called while another call runs.
    """

    def open(self, position: StreamPosition) -> None:
        """Goes to a position; before anything else, and once.

        Args:
            position: of a checkpoint, or of the example sets that the model was trained
                on; parts that it does not name are read from their beginnings.

        Raises:
            DataError: if what lies behind the position is gone, or is not the stream
                that the position was taken from.
        """

    def next_window(
        self, wait: float, end: StreamPosition | None = None
    ) -> StreamWindow | None:
        """Returns the next window, or None if there is none yet.

        Args:
            wait: seconds to wait for one at most; what has been gathered is kept for
                the next call.
            end: where the window has to end: it is one that was read before. None for a
                new one, of `window_rows` rows, or fewer where `window_wait` has passed
                since its first row and nothing more is there.

        Raises:
            DataError: if rows are gone or damaged, or are not those that were read
                before.
            TrainingError: if the source has been away for too long, or too much of it
                had to be put aside.
            WindowGone: see there.
        """

    @property
    def ended(self) -> bool:
        """Whether a source that ends (`until_end`) has given its last window."""

    def status(self) -> SourceStatus:
        """Returns what is known now, without waiting for anything."""

    def note(self, position: StreamPosition) -> None:
        """Tells the outside, for dashboards, that a checkpoint holds a position. Never
        raises: nothing depends on it."""

    def __enter__(self) -> Self:
        """Returns itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes clients and files."""
