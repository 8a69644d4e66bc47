"""Decides from metrics alone whether a checkpoint may be published.

A pure function: the same windows give the same verdict, whatever else happened.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from configs.durations import duration_ms
from configs.stream import Gate
from serving.windows import Figures, Window, pooled

__all__ = ["WINDOWS_BACK", "Action", "Verdict", "judge"]

Action = Literal["publish", "reject", "wait"]

WINDOWS_BACK = 10
"""For a label that is rare, so many times the windows of the gate are looked at."""

_ERRORS = 2.0
"""Standard errors that are put down to chance: one time in twenty it does more."""


@dataclass(frozen=True)
class Verdict:
    """What is to become of a checkpoint.

    Attributes:
        action: publish it, reject it for good, or wait until more is known.
        reasons: why not; empty if it is to be published.
        notes: what was not looked at, and why.
        figures: what was looked at, by task.
    """

    action: Action
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    figures: dict[str, dict[str, Any]]


def judge(
    windows: Sequence[Window],
    *,
    tasks: Sequence[str],
    gate: Gate,
    served: int | None,
    age_seconds: float,
    sampled: bool,
) -> Verdict:
    """Judges a checkpoint by the windows that came before it.

    Args:
        windows: in order, the last one of the checkpoint's step or before it.
        tasks: outputs of the model that must be in order.
        gate: what they must show.
        served: the version to compare with; None if there is none.
        age_seconds: of the checkpoint.
        sampled: whether negatives of the stream were dropped, so that they must weigh
            more than 1.
    """
    last = windows[-gate.windows :]
    rejections = [*_too_old(gate, age_seconds), *_unweighed(last, tasks, sampled)]
    waits = list(_too_few(last, gate))
    notes: list[str] = []
    figures: dict[str, dict[str, Any]] = {}
    decided = False
    for task in tasks if last else ():
        found = _of_task(windows, task, gate)
        rejections += _not_finite(last, task)
        rejections += _miscalibrated(task, found, gate)
        enough = _is_enough(found, gate)
        decided = decided or enough
        if not enough:
            notes.append(_few_positives(task, found, gate))
        figures[task] = _shown(found)
        if served is not None:
            figures[task] |= _compare(
                last, task, served, gate, rejections, notes, enough=enough
            )
    if last and not decided:
        waits += [*notes]
    if served is not None and last:
        waits += _not_compared(last, served, gate)
    if rejections:
        return _verdict("reject", rejections, notes, figures)
    return _verdict("wait" if waits else "publish", waits, notes, figures)


def _verdict(
    action: Action,
    reasons: Sequence[str],
    notes: Sequence[str],
    figures: dict[str, dict[str, Any]],
) -> Verdict:
    return Verdict(
        action=action,
        reasons=tuple(reasons),
        notes=tuple(note for note in notes if note not in reasons),
        figures=figures,
    )


def _too_old(gate: Gate, age_seconds: float) -> Iterator[str]:
    if age_seconds > duration_ms(gate.max_age) / 1_000:
        yield (
            f"the checkpoint is {age_seconds / 60:.0f} minutes old, and max_age is"
            f" {gate.max_age}: is the trainer running?"
        )


def _too_few(last: Sequence[Window], gate: Gate) -> Iterator[str]:
    rows = sum(window.rows for window in last)
    if not last:
        yield "metrics.jsonl has no window up to this checkpoint yet"
    elif rows < gate.min_rows:
        count = len(last)
        yield f"{rows} rows in the last {count} windows, min_rows is {gate.min_rows}"


def _unweighed(
    last: Sequence[Window], tasks: Sequence[str], sampled: bool
) -> Iterator[str]:
    """Rows of tasks that are learned on positives alone weigh 1, so one task must have
    heavier ones, not all."""
    if not sampled or not last or last[0].kind != "window":
        return
    parts = [w.tasks[task] for w in last for task in tasks if task in w.tasks]
    if any(part.weight is None for part in parts):
        yield (
            "negatives are sampled, and the metrics do not say what rows weigh: they"
            " were written by an older version"
        )
    elif parts and all(part.weight == part.rows for part in parts):
        yield (
            "negatives are sampled, but in the metrics all rows weigh 1: calibration"
            " cannot be told. The example sets were made with another"
            " preprocessing.sampling"
        )


def _of_task(windows: Sequence[Window], task: str, gate: Gate) -> Figures:
    """Pools the last windows; further back while there are too few positives."""
    found = pooled([])
    for count in range(gate.windows, gate.windows * WINDOWS_BACK + 1):
        part = [w.tasks[task] for w in windows[-count:] if task in w.tasks]
        found = pooled(part)
        if _is_enough(found, gate) or count >= len(windows) or not found.finite:
            break
    return found


def _is_enough(found: Figures, gate: Gate) -> bool:
    """Whether chance is small beside the tolerance."""
    return found.positives > 0 and _ERRORS * found.error <= gate.calibration


def _few_positives(task: str, found: Figures, gate: Gate) -> str:
    needed = math.ceil((_ERRORS / gate.calibration) ** 2)
    return (
        f"{task}: {found.positives} positives are too few to tell a calibration that is"
        f" off by {gate.calibration:g} (about {needed} would do)"
    )


def _not_finite(last: Sequence[Window], task: str) -> Iterator[str]:
    for window in last:
        found = window.tasks.get(task)
        if found is None:
            yield f"{task}: the window of step {window.step} says nothing of it"
            return
        if found.rows and not found.finite:
            yield f"{task}: not finite in the window of step {window.step}"
            return


def _miscalibrated(task: str, found: Figures, gate: Gate) -> Iterator[str]:
    off = abs(found.calibration - 1.0)
    if off > gate.calibration + _ERRORS * found.error:  # never for NaN
        yield (
            f"{task}: calibration {found.calibration:.3f} (+-"
            f" {_ERRORS * found.error:.3f} by chance) is off by more than"
            f" {gate.calibration:g}"
        )


def _served_pairs(
    last: Sequence[Window], task: str, served: int
) -> list[tuple[Figures, Figures]]:
    return [
        (w.tasks[task], w.served.tasks[task])
        for w in last
        if w.served is not None
        and w.served.version == served
        and task in w.tasks
        and task in w.served.tasks
    ]


def _compare(
    last: Sequence[Window],
    task: str,
    served: int,
    gate: Gate,
    rejections: list[str],
    notes: list[str],
    *,
    enough: bool,
) -> dict[str, Any]:
    """Compares with the served version on the windows that both have scored."""
    pairs = _served_pairs(last, task, served)
    ours = pooled([pair[0] for pair in pairs])
    theirs = pooled([pair[1] for pair in pairs])
    if not ours.rows:
        return {}
    worse = ours.log_loss / theirs.log_loss - 1.0 if theirs.log_loss else 0.0
    chance = _ERRORS * theirs.difference_error / theirs.log_loss
    shown = {"compared_rows": ours.rows, "served_log_loss": _rounded(theirs.log_loss)}
    if not theirs.finite:
        notes.append(f"{task}: version {served} is not finite on the same windows")
        return shown
    if math.isnan(chance) and not enough:
        notes.append(f"{task}: too few positives to compare with version {served}")
    elif worse > gate.log_loss + (0.0 if math.isnan(chance) else chance):
        rejections.append(
            f"{task}: log loss {ours.log_loss:.5f} is {worse:.1%} worse than the"
            f" {theirs.log_loss:.5f} of version {served} on the same {ours.rows} rows"
            f" ({gate.log_loss:.1%} is allowed)"
        )
    return shown | {"worse_than_served": _rounded(worse)}


def _not_compared(last: Sequence[Window], served: int, gate: Gate) -> Iterator[str]:
    rows = sum(w.rows for w in last if w.served and w.served.version == served)
    if not rows or rows < gate.min_rows:
        yield (
            f"version {served} has been scored on {rows} rows of the last windows, not"
            f" {max(gate.min_rows, 1)}: the trainer scores it beside its own model"
        )


def _shown(found: Figures) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "positives": found.positives,
        "log_loss": _rounded(found.log_loss),
        "calibration": _rounded(found.calibration),
        "calibration_error": _rounded(found.error),
    }


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
