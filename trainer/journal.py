"""Writes what training reports: metrics.jsonl and TensorBoard."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["Journal", "NoJournal"]


_TAIL_BYTES = 2**20


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
        # TensorFlow keeps every Python number that it has ever made a tensor of.
        with self._writer.as_default(step=np.int64(step)):
            for name, value in _scalars(
                f"{kind}/", values if plotted is None else plotted
            ):
                tf.summary.scalar(name, np.float32(value))

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
    """Cuts off the lines of later steps, and half a line that a kill has left. Steps
    never fall from line to line, and a stream's file may be long: it is read from its
    end, as far as is needed."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        size = file.seek(0, 2)
        tail = _TAIL_BYTES
        while True:
            start = max(size - tail, 0)
            file.seek(start)
            lines = file.read(size - start).splitlines(keepends=True)
            if start:
                start += len(lines.pop(0))  # its beginning is not there
            kept = _length_until(lines, step)
            if kept or not start:
                file.truncate(start + kept)
                return
            tail *= 4


def _length_until(lines: list[bytes], step: int) -> int:
    """Returns the bytes up to the last whole line of a step that is not later."""
    for count in range(len(lines), 0, -1):
        line = lines[count - 1]
        try:
            if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                return sum(len(one) for one in lines[:count])
        except (ValueError, KeyError, TypeError):
            continue
    return 0
