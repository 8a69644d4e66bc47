"""The line that tells how a stream goes."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from trainer.inputs.stream_source import SourceStatus

__all__ = ["StreamProgress"]

_SECONDS = 5.0
"""Between two lines, on a terminal."""

_QUIET_SECONDS = 15.0
"""Between two lines where stderr is no terminal."""


class StreamProgress:
    """Prints a line to stderr every few seconds."""

    def __init__(self) -> None:
        self._every = _SECONDS if sys.stderr.isatty() else _QUIET_SECONDS
        self._printed = -self._every
        self._rows = 0
        self._since = time.monotonic()
        self._idle_since: float | None = None

    def learned(self, values: Mapping[str, Any]) -> None:
        """Takes note of a window, as the journal has it."""
        self._rows += int(values["rows"])
        self._idle_since = None
        if not self._due():
            return
        seconds = time.monotonic() - self._since
        lag = values["lag_rows"]
        self.write(
            f"window {values['window']:,}, step {values['step']:,}:"
            f" {_shown(values['tasks'])}; {self._rows / seconds:,.0f} rows/s, lag"
            f" {lag:,} rows, newest {_age(values['freshness_s'])} ago"
        )
        self._rows, self._since = 0, time.monotonic()

    def waiting(self, status: SourceStatus) -> None:
        """Tells, where nothing is there to be learned, for how long."""
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since < self._every or not self._due():
            return
        away = status.away_seconds
        why = f"the source is away for {away:,.0f} s" if away else "nothing new"
        self.write(f"waiting for {now - self._idle_since:,.0f} s: {why}")
        self._rows, self._since = 0, now

    def write(self, text: str) -> None:
        """Prints a line."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the last line."""
        sys.stderr.flush()

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._printed < self._every:
            return False
        self._printed = now
        return True


def _shown(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    parts = []
    for task, metrics in tasks.items():
        names = ("log_loss", "auc", "calibration")
        found = [f"{n} {metrics[n]:.4f}" for n in names if metrics[n] is not None]
        parts.append(f"{task} {' '.join(found) or 'undefined'}")
    return ", ".join(parts)


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.1f} s"
    if seconds < 7_200:
        return f"{seconds / 60:,.0f} min"
    return f"{seconds / 86_400:,.1f} days"
