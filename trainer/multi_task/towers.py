"""A small MLP for each task."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from trainer.layers.mlp import MLP

__all__ = ["Towers"]


class Towers(keras.layers.Layer):  # type: ignore[misc]
    """Layers that a task has for itself.

    Args:
        tasks: their names.
        input_width: of the vectors.
        hidden: widths of the layers; without any, vectors pass as they are.
        dropout: as of `MLP`.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        input_width: int,
        hidden: Sequence[int],
        *,
        dropout: float,
        name: str,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._towers = {
            task: MLP(
                input_width, hidden, name=f"{name}_{task}", seed=seed, dropout=dropout
            )
            for task in tasks
        }
        self.width = hidden[-1] if hidden else input_width
        self.built = True

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Maps float32 [B, input_width] of each task to [B, width]."""
        return {
            task: tower(inputs[task], training=training)
            for task, tower in self._towers.items()
        }
