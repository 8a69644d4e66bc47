"""Writes what training reports: metrics.jsonl and TensorBoard."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

__all__ = ["Journal", "NoJournal"]


class Journal:
    """Appends lines to metrics.jsonl, and scalars to TensorBoard.

    Args:
        metrics_file: one JSON object a line, with `kind`, `step` and `epoch`.
        tensorboard: folder of event files.
        step: that training goes on from; lines of later steps are removed, because
            those steps will be made again.
    """

    def __init__(self, metrics_file: Path, tensorboard: Path, *, step: int) -> None:
        self._file = metrics_file
        _forget_later_steps(metrics_file, step)
        self._writer = tf.summary.create_file_writer(str(tensorboard))

    def write(
        self,
        kind: str,
        *,
        step: int,
        epoch: int,
        values: Mapping[str, Any],
        plotted: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes one line.

        Args:
            kind: of the line.
            step: steps made.
            epoch: epochs completed.
            values: numbers, texts, mappings of such, or None.
            plotted: what of them TensorBoard shows; all numbers unless given.
        """
        line = {"kind": kind, "step": step, "epoch": epoch, **values}
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps(finite(line), allow_nan=False) + "\n")
        with self._writer.as_default(step=step):
            for name, value in _scalars(
                f"{kind}/", values if plotted is None else plotted
            ):
                tf.summary.scalar(name, value)

    def close(self) -> None:
        """Flushes the event file."""
        self._writer.close()


class NoJournal(Journal):
    """Writes nothing: of several workers one reports."""

    def __init__(self) -> None:
        """Opens nothing."""

    def write(
        self,
        kind: str,
        *,
        step: int,
        epoch: int,
        values: Mapping[str, Any],
        plotted: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Does nothing."""


def finite(value: Any) -> Any:
    """Returns `value` with numbers that JSON cannot hold (NaN, infinity) as None."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _scalars(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, float]]:
    scalars: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            scalars += _scalars(f"{prefix}{name}/", value)
        elif isinstance(value, int | float):
            scalars.append((prefix + name, float(value)))
    return scalars


def _forget_later_steps(path: Path, step: int) -> None:
    if not path.exists():
        return
    # A stream's file may be long: it is never held as a whole.
    good = 0
    with open(path, "rb+") as lines:
        for line in lines:
            try:
                if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError, TypeError):
                break  # a killed process may have left half a line
            good += len(line)
        lines.truncate(good)
