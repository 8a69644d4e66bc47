"""The log of what was published, what was not, and why: `models/decisions.jsonl`."""

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError

from configs.section import Section

__all__ = [
    "DECISIONS_FILE",
    "Decision",
    "append_decision",
    "by_version",
    "now",
    "read_decisions",
    "size_of_log",
    "table",
]

DECISIONS_FILE = "decisions.jsonl"

_SHOWN_REASON = 100


class Decision(Section):
    """One line of the log."""

    model_config = ConfigDict(extra="ignore")

    time: str
    """ISO 8601."""
    action: Literal[
        "published",
        "rejected",
        "waits",
        "failed",
        "found",
        "pinned",
        "rolled back",
        "unpinned",
    ]
    """`found`: a version that another command exported."""
    version: int | None = None
    """Published, or to be served from now on."""
    run: str | None = None
    step: int | None = None
    checkpoint: str | None = None
    """Digest of the checkpoint."""
    rows: int | None = None
    """Learned by it, of a stream."""
    reasons: list[str] = []
    notes: list[str] = []
    """What was not looked at, and why."""
    figures: dict[str, dict[str, Any]] = {}
    """By task."""
    seconds: float | None = None
    """That exporting took."""

    @property
    def moment(self) -> float:
        """The time in seconds since the epoch."""
        return datetime.fromisoformat(self.time).timestamp()


def now() -> str:
    """Returns the time as decisions have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def append_decision(models: str | Path, decision: Decision) -> None:
    """Adds a line, and returns when the disk has it.

    Raises:
        OSError: if the disk is full, say.
    """
    text = decision.model_dump_json(exclude_defaults=True) + "\n"
    path = Path(models) / DECISIONS_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":  # of a process that was killed
                text = "\n" + text
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read_decisions(models: str | Path) -> list[Decision]:
    """Reads the log. A line that a killed process left half written is passed over."""
    try:
        lines = (Path(models) / DECISIONS_FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    decisions = []
    for line in filter(None, lines):
        try:
            decisions.append(Decision.model_validate(json.loads(line)))
        except (ValueError, ValidationError):
            continue
    return decisions


def size_of_log(models: str | Path) -> int:
    """Returns the bytes of the log, 0 if there is none."""
    try:
        return (Path(models) / DECISIONS_FILE).stat().st_size
    except FileNotFoundError:
        return 0


def table(decisions: Sequence[Decision]) -> str:
    """Returns decisions as a table, the oldest first. Figures are those of the first
    task; `served` is by how much its log loss is above that of the served version."""
    head = ("time", "what", "version", "step", "calibration", "log loss", "served", "")
    rows: list[tuple[str, ...]] = [head, *map(_cells, decisions)]
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    )


def _cells(decision: Decision) -> tuple[str, ...]:
    first: dict[str, Any] = next(iter(decision.figures.values()), {})
    why = "; ".join([*decision.reasons, *decision.notes])
    return (
        decision.time[:19].replace("T", " "),
        decision.action,
        _text(decision.version),
        _text(decision.step),
        _text(first.get("calibration"), "{:.3f}"),
        _text(first.get("log_loss"), "{:.5f}"),
        _text(first.get("worse_than_served"), "{:+.2%}"),
        why if len(why) <= _SHOWN_REASON else why[: _SHOWN_REASON - 3] + "...",
    )


def _text(value: Any, form: str = "{}") -> str:
    return "" if value is None else form.format(value)


def by_version(decisions: Iterable[Decision]) -> dict[int, Decision]:
    """Returns the decision that made each version appear."""
    return {
        decision.version: decision
        for decision in decisions
        if decision.version is not None and decision.action in ("published", "found")
    }
