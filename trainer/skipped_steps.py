"""Watches the steps that were not finite: a few are told of, many end training."""

from collections.abc import Callable
from pathlib import Path

from configs.errors import TrainingError
from trainer.step import TrainingStep

__all__ = ["SkippedSteps"]


class SkippedSteps:
    """Counts the steps that changed nothing, because a loss or gradient was not finite.

    Args:
        step: that counts them on the device.
        limit: training ends after so many in a row.
        checkpoints: folder named in the message.
        warn: prints a line.

    Attributes:
        count: as of the last check.
    """

    def __init__(
        self,
        step: TrainingStep,
        *,
        limit: int,
        checkpoints: Path,
        warn: Callable[[str], None],
    ) -> None:
        self._step = step
        self._limit = limit
        self._checkpoints = checkpoints
        self._warn = warn
        self.count = int(step.skipped.numpy())

    def check(self, step: int) -> None:
        """Looks at the counters; waits for the device.

        Args:
            step: number of steps made.

        Raises:
            TrainingError: if too many steps in a row were skipped.
        """
        skipped = int(self._step.skipped.numpy())
        if skipped > self.count:
            self._warn(
                f"warning: {skipped - self.count} step(s) before step {step} had a loss"
                " or gradient that was not finite; they changed nothing"
            )
        self.count = skipped
        in_a_row = int(self._step.skipped_in_a_row.numpy())
        if in_a_row >= self._limit:
            raise TrainingError(
                f"the loss or a gradient was not finite in the last {in_a_row} steps,"
                f" up to step {step}. Those steps changed nothing, and the checkpoints"
                f" in {self._checkpoints} are from before. Lower"
                " training.optimizer.*.learning_rate, set"
                " training.optimizer.dense.clip_norm, or look for infinite numeric"
                " features"
            )
