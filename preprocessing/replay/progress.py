"""A line that says how far a replay is."""

import sys
import time
from collections.abc import Callable

from configs.times import spelled_time

__all__ = ["ReplayProgress"]

_REDRAWN_SECONDS = 0.5
_PRINTED_SECONDS = 30.0


class ReplayProgress:
    """Shows records, rate and time left on stderr.

    On a terminal one line is redrawn; elsewhere (a log file) a line is printed now and
    then.

    Args:
        total: records to be played.
        seconds: that the replay takes at its speed.
    """

    def __init__(self, total: int, seconds: float) -> None:
        self._total, self._seconds = total, seconds
        self._start = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def show(self, played: int, at: Callable[[], int], behind: float) -> None:
        """Shows the line, where it is time to.

        Args:
            played: records so far.
            at: returns the time that the last one bears, ms.
            behind: seconds that the replay is late.
        """
        now = time.monotonic()
        pause = _REDRAWN_SECONDS if self._terminal else _PRINTED_SECONDS
        final = played == self._total
        if now - self._shown < pause and not final:
            return
        self._shown = now
        line = self._line(played, at(), behind, now - self._start)
        start = "\r\x1b[2K" if self._terminal else ""
        end = "\n" if final or not self._terminal else ""
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def _line(self, played: int, at: int, behind: float, elapsed: float) -> str:
        rate = played / max(elapsed, 1e-9)
        parts = [
            f"{played:,}/{self._total:,} records",
            f"{rate:,.0f} records/s",
            f"at {spelled_time(at, 'iso')}",
        ]
        if played < self._total:
            left = max(self._seconds - elapsed, (self._total - played) / rate)
            if self._seconds > elapsed:
                left = self._seconds - elapsed + behind
            parts.append(f"{_clock(left)} left")
        if behind > 2.0:
            parts.append(f"{behind:,.0f} s behind its speed")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
