"""MMoE: shared experts, a gate and a tower for each task (Ma et al. 2018)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from configs.multi_task import MMoE as Config
from trainer.multi_task.experts import Experts, Gate
from trainer.multi_task.towers import Towers

__all__ = ["MMoE"]


class MMoE(keras.layers.Layer):  # type: ignore[misc]
    """h_task = tower_task( sum_e softmax(x W_task)_e expert_e(x) ).

    Args:
        config: its section of the job.
        tasks: their names.
        input_width: of the backbone's hidden vector x.
        seed: of the initial weights.
    """

    def __init__(
        self, config: Config, tasks: Sequence[str], input_width: int, *, seed: int
    ) -> None:
        super().__init__(name="multi_task")
        self._experts = Experts(
            config.experts,
            input_width,
            config.expert,
            dropout=config.dropout,
            name="multi_task_expert",
            seed=seed,
        )
        self._gates = {
            task: Gate(
                config.experts, input_width, name=f"multi_task_gate_{task}", seed=seed
            )
            for task in tasks
        }
        self._towers = Towers(
            tasks,
            config.expert[-1],
            config.tower,
            dropout=config.dropout,
            name="multi_task_tower",
            seed=seed,
        )
        self.width = self._towers.width
        self.built = True

    def call(self, hidden: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Maps float32 [B, input_width] to [B, width] for each task."""
        experts = self._experts(hidden, training=training)
        mixtures = {task: gate(hidden, experts) for task, gate in self._gates.items()}
        vectors: dict[str, tf.Tensor] = self._towers(mixtures, training=training)
        return vectors
