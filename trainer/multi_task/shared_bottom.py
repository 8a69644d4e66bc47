"""Shared-Bottom: the backbone for all, a tower for each (Caruana 1997)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from configs.multi_task import SharedBottom as Config
from trainer.multi_task.towers import Towers

__all__ = ["SharedBottom"]


class SharedBottom(keras.layers.Layer):  # type: ignore[misc]
    """Every task's tower takes the same hidden vector.

    Args:
        config: its section of the job.
        tasks: their names.
        input_width: of the backbone's hidden vector.
        seed: of the initial weights.
    """

    def __init__(
        self, config: Config, tasks: Sequence[str], input_width: int, *, seed: int
    ) -> None:
        super().__init__(name="multi_task")
        self._tasks = tuple(tasks)
        self._towers = Towers(
            tasks,
            input_width,
            config.tower,
            dropout=config.dropout,
            name="multi_task_tower",
            seed=seed,
        )
        self.width = self._towers.width
        self.built = True

    def call(self, hidden: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps float32 [B, input_width] to [B, width] for each task."""
        vectors: dict[str, tf.Tensor] = self._towers(
            dict.fromkeys(self._tasks, hidden), training=training
        )
        return vectors
