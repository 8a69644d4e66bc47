"""The progress line: rows per second and the time that is left."""

import sys
import time

from tqdm import tqdm

__all__ = ["Progress"]

_QUIET_SECONDS = 15.0
"""Where stderr is no terminal, a plain line is printed this often."""


class Progress:
    """Counts rows towards the end of training.

    Args:
        total: rows of all epochs.
        done: rows trained on before (a resumed run).
        quiet: print nothing: of several workers one reports.
    """

    def __init__(self, total: int, done: int = 0, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._total = total
        self._done = done
        self._note = ""
        self._terminal = sys.stderr.isatty() and not quiet
        self._bar = tqdm(
            total=total,
            initial=done,
            unit=" rows",
            unit_scale=True,
            disable=not self._terminal,
            dynamic_ncols=True,
        )
        self._started = self._printed = time.monotonic()
        self._first = done

    def advance(self, rows: int) -> None:
        """Counts the rows of a step."""
        self._done += rows
        self._bar.update(rows)
        if not self._terminal and time.monotonic() - self._printed > _QUIET_SECONDS:
            self._print()

    def note(self, text: str) -> None:
        """Shows `text` (the latest loss) beside the figures."""
        self._note = text
        self._bar.set_postfix_str(text, refresh=False)

    def write(self, text: str) -> None:
        """Prints a line above the progress line."""
        if not self._quiet:
            tqdm.write(text, file=sys.stderr)

    def rows_per_second(self) -> float:
        """Returns the mean speed of this process."""
        seconds = time.monotonic() - self._started
        return (self._done - self._first) / seconds if seconds else 0.0

    def close(self) -> None:
        """Ends the line."""
        self._bar.close()

    def _print(self) -> None:
        self._printed = time.monotonic()
        speed = self.rows_per_second()
        left = (self._total - self._done) / speed if speed else 0.0
        self.write(
            f"{self._done:,} of {self._total:,} rows, {speed:,.0f} rows/s,"
            f" {left:,.0f} s left{', ' if self._note else ''}{self._note}"
        )
