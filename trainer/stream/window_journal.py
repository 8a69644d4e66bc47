"""Remembers where windows ended, so that those a crash undid are made again alike.

A window that a live source did not fill is closed by the clock, and partitions that are
read while they are written give their rows as they come. So before anything of a window
is learned, its end is written down and flushed; after a crash the windows behind the
last checkpoint are read again to those very ends.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from configs.errors import CheckpointError
from configs.publishing import write_text_atomically

__all__ = ["WindowEnd", "WindowJournal"]


class WindowEnd(BaseModel):
    """Where a window began and ended.

    Attributes:
        window: its number.
        rows: that it has.
        start: position of the source before it.
        position: of the source behind it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: int
    rows: int
    start: dict[str, Any]
    position: dict[str, Any]


class WindowJournal:
    """The file with the ends of windows, one a line.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = -1

    def after(self, window: int, position: dict[str, Any]) -> list[WindowEnd]:
        """Returns the ends of the windows from number `window` on, in order.

        Windows that began elsewhere than at `position` were learned by weights that
        are gone since (a run that went back to its batch training): they are left out.

        Raises:
            CheckpointError: if the file is damaged in another place than its last line.
        """
        found: list[WindowEnd] = []
        for end in self._read():
            if end.window == window and _begins_at(position, end.start):
                found.append(end)
                window, position = window + 1, end.position
        return found

    def before(self, window: int) -> list[WindowEnd]:
        """Returns the ends of earlier windows, which older checkpoints go on with."""
        return [end for end in self._read() if end.window < window]

    def append(self, end: WindowEnd) -> None:
        """Writes an end, and returns when the disk has it. Ends from that number on,
        of windows that cannot be read again, are forgotten."""
        if end.window <= self._last:
            self.keep([one for one in self._read() if one.window < end.window])
        self._last = end.window
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(end.model_dump_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CheckpointError(
                f"{self._path} cannot be written ({error}), and no window is learned"
                " whose end is not written down: make room, and start again"
            ) from error

    def keep(self, ends: Sequence[WindowEnd]) -> None:
        """Writes the file anew with `ends` alone: a line that a killed process left
        half written must not be appended to."""
        text = "".join(end.model_dump_json() + "\n" for end in ends)
        write_text_atomically(self._path, text)
        self._last = ends[-1].window if ends else -1

    def forget_before(self, window: int) -> None:
        """Removes the ends of windows that no checkpoint would read again."""
        last = self._last
        self.keep([end for end in self._read() if end.window >= window])
        self._last = last

    def _read(self) -> list[WindowEnd]:
        if not self._path.exists():
            return []
        lines = self._path.read_text("utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()  # a killed process; nothing of that window was learned
        try:
            return [WindowEnd.model_validate_json(line) for line in lines]
        except ValidationError as error:
            raise CheckpointError(
                f"{self._path} is damaged ({error}). It says where the windows since"
                " the last checkpoint ended: without it those are cut anew, and on a"
                " live stream batches may differ from the ones before the crash."
                " Remove the file to go on so"
            ) from error


def _begins_at(position: dict[str, Any], start: dict[str, Any]) -> bool:
    """Returns whether a start is this position; it may name more than a position does
    that is not complete, such as that of a beginning."""
    return all(
        _begins_at(value, start.get(key, {}))
        if isinstance(value, dict)
        else start.get(key) == value
        for key, value in position.items()
    )
