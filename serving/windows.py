"""The windows of a run's `metrics.jsonl`: what models said of rows not yet learned.

Training on a stream writes a line of kind `window` for each window, scored before it
was learned from, with the same figures of the served version beside it. A run over
whole example sets has lines of kind `validation` instead: each is taken for a window.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Figures", "ServedWindow", "Window", "pooled", "read_windows"]

_TAIL_BYTES = 2**22


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a window says of one task, or several windows together.

    Attributes:
        rows: scored.
        positives: of them.
        weight: rows that they stand for (a negative weighs 1/r); None if unsaid.
        log_loss: mean negative log-likelihood; NaN if it is not finite.
        predicted: mean predicted probability.
        observed: mean label.
        error: standard error of the calibration; NaN without positives.
        difference_error: standard error of the difference of this log loss and that of
            the served version on the same rows; NaN if unsaid.
    """

    rows: int
    positives: int
    weight: float | None
    log_loss: float
    predicted: float
    observed: float
    error: float
    difference_error: float = math.nan

    @property
    def calibration(self) -> float:
        """Mean predicted / mean observed; NaN without positives."""
        return self.predicted / self.observed if self.observed > 0 else math.nan

    @property
    def finite(self) -> bool:
        """Whether the model gave rows predictions that can be used."""
        return math.isfinite(self.log_loss) and math.isfinite(self.predicted)


@dataclass(frozen=True, kw_only=True)
class ServedWindow:
    """What the served version did on the rows of a window."""

    version: int
    tasks: Mapping[str, Figures]


@dataclass(frozen=True, kw_only=True)
class Window:
    """One line of `metrics.jsonl`.

    Attributes:
        kind: of the line.
        step: that the model had made when it scored the rows.
        rows: of the window.
        tasks: figures by served output.
        served: the same of the served version; None if there was none.
    """

    kind: Literal["window", "validation"]
    step: int
    rows: int
    tasks: Mapping[str, Figures]
    served: ServedWindow | None


def read_windows(
    metrics_file: str | Path, *, until_step: int, at_most: int
) -> list[Window]:
    """Reads the last windows that were scored at a step or before it, in order.

    Lines that are cut, of other kinds, or of another form are passed over: the file is
    written while it is read. Of one that is long its end is read.
    """
    tail = _TAIL_BYTES
    while True:
        lines, whole = _last_lines(Path(metrics_file), tail)
        windows = [w for w in map(_window, lines) if w and w.step <= until_step]
        kind = windows[-1].kind if windows else None
        windows = [window for window in windows if window.kind == kind]
        if whole or len(windows) >= at_most:
            return windows[-at_most:]
        tail *= 4


def pooled(parts: Sequence[Figures]) -> Figures:
    """Returns the figures of several windows as of one; of none those of no rows."""
    weights = [float(p.rows) if p.weight is None else p.weight for p in parts]
    total = math.fsum(weights)

    def mean(values: Iterator[float]) -> float:
        # Without rows there is no figure, and nothing to be spoiled by.
        pairs = [(w, v) for w, v in zip(weights, values, strict=True) if w]
        return math.fsum(w * v for w, v in pairs) / total if total else math.nan

    def combined_error(errors: Iterator[float], scales: Sequence[float]) -> float:
        pairs = [(s, e) for s, e in zip(scales, errors, strict=True) if s]
        return math.hypot(*(s * e for s, e in pairs)) / (math.fsum(scales) or math.nan)

    said = [p.weight for p in parts if p.weight is not None]
    observed = [
        w * p.observed if w else 0.0 for w, p in zip(weights, parts, strict=True)
    ]
    return Figures(
        rows=sum(part.rows for part in parts),
        positives=sum(part.positives for part in parts),
        weight=math.fsum(said) if len(said) == len(parts) else None,
        log_loss=mean(part.log_loss for part in parts),
        predicted=mean(part.predicted for part in parts),
        observed=mean(part.observed for part in parts),
        error=combined_error((part.error for part in parts), observed),
        difference_error=combined_error((p.difference_error for p in parts), weights),
    )


def _last_lines(path: Path, tail: int) -> tuple[list[bytes], bool]:
    """Returns the last lines, and whether they are all there are."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(size - tail, 0)
            file.seek(start)
            lines = file.read().split(b"\n")
    except OSError:
        return [], True
    # The first line may be cut by us, the last one by whoever is writing it.
    return (lines[1:-1] if start else lines[:-1]), start == 0


def _window(line: bytes) -> Window | None:
    try:
        found = json.loads(line)
        kind = found["kind"]
        if kind not in ("window", "validation"):
            return None
        tasks = _tasks(found.get("tasks") or found)
        served = found.get("served")
        return Window(
            kind=kind,
            step=int(found.get("scored_step", found["step"])),
            rows=int(found.get("rows") or max(f.rows for f in tasks.values())),
            tasks=tasks,
            served=ServedWindow(
                version=int(served["version"]), tasks=_tasks(served["tasks"])
            )
            if served
            else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _tasks(found: Mapping[str, Any]) -> dict[str, Figures]:
    return {
        name: _figures(value)
        for name, value in found.items()
        if isinstance(value, Mapping) and "log_loss" in value and "rows" in value
    }


def _figures(found: Mapping[str, Any]) -> Figures:
    rows = int(found["rows"])
    observed = _number(found.get("observed_rate"))
    positives = found.get("positives")
    if positives is None:  # written before it was said
        positives = round(rows * observed) if observed > 0 else 0
    error = _number(found.get("calibration_error"))
    if math.isnan(error) and positives:  # a Poisson count's
        error = 1 / math.sqrt(positives)
    weight = found.get("weight")
    return Figures(
        rows=rows,
        positives=int(positives),
        weight=None if weight is None else float(weight),
        log_loss=_number(found["log_loss"]),
        predicted=_number(found.get("predicted_rate")),
        observed=observed,
        error=error,
        difference_error=_number(found.get("log_loss_difference_error")),
    )


def _number(value: Any) -> float:
    """Returns NaN for null, which stands for numbers that JSON cannot hold."""
    return math.nan if value is None else float(value)
