"""Lets a signal end training between two steps, with a checkpoint."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["SIGNALS", "Interruption"]

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Signals that end training with a checkpoint."""


class Interruption:
    """While entered, the first SIGTERM or SIGINT is only noted; a second one acts.

    Attributes:
        signal: number of the signal that came, or None. With several workers, the
            loop sets it to the one that they agreed on.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        # Handlers can only be set by the main thread; elsewhere signals act at once.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
