"""Records some steps for TensorBoard's profiler."""

import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from configs.errors import JobError

__all__ = ["Profile", "profiled_steps"]


def profiled_steps(text: str) -> tuple[int, int]:
    """Returns first and last step of `FIRST:LAST`.

    Raises:
        JobError: if that is not two numbers in order.
    """
    first, _, last = text.partition(":")
    numbers = first.isdecimal() and last.isdecimal()
    if not (numbers and 1 <= int(first) <= int(last)):
        raise JobError(
            f"--profile {text!r} does not name steps: expected FIRST:LAST, counted from"
            f" 1 where this process begins, such as 10:20"
        )
    return int(first), int(last)


class Profile(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes a trace of the steps `first` to `last` of this process.

    It watches batches, so the loop makes one step per call while it is there.

    Args:
        folder: TensorBoard's; the trace comes under plugins/profile. None records
            nothing: workers must call their steps alike, and one of them records.
        first: counted from 1 where this process begins, not where the run began.
        last: included.
    """

    def __init__(self, folder: Path | None, first: int, last: int) -> None:
        super().__init__()
        self._folder = folder
        self._first = first
        self._last = last
        self._step = 0
        self._recording = False

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Starts to record before the first step."""
        self._step += 1
        if self._step == self._first and self._folder is not None:
            tf.profiler.experimental.start(str(self._folder))
            self._recording = True

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Stops after the last step."""
        if self._step == self._last:
            self._stop()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stops where training ended before the last step."""
        self._stop()
        if self._step < self._first and self._folder is not None:
            print(
                f"warning: nothing was profiled: training ended after {self._step}"
                f" steps, --profile begins at step {self._first}",
                file=sys.stderr,
            )

    def _stop(self) -> None:
        if self._recording:
            self._recording = False
            tf.profiler.experimental.stop()
            print(
                f"steps {self._first} to {min(self._step, self._last)} are profiled:"
                f" tensorboard --logdir {self._folder}",
                file=sys.stderr,
            )
