"""Experts and the gates that mix them.

Legend: B batch, D width of the input, E experts, W width of an expert's output.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from trainer.layers.mlp import MLP, dense

__all__ = ["Experts", "Gate"]


class Experts(keras.layers.Layer):  # type: ignore[misc]
    """Several MLPs over one input.

    Args:
        count: E.
        input_width: D.
        hidden: widths of each one's layers, the last of them W.
        dropout: as of `MLP`.
    """

    def __init__(
        self,
        count: int,
        input_width: int,
        hidden: Sequence[int],
        *,
        dropout: float,
        name: str,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._experts = [
            MLP(
                input_width,
                hidden,
                name=f"{name}_{number}",
                seed=seed,
                dropout=dropout,
            )
            for number in range(count)
        ]
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """Maps float32 [B, D] to E times [B, W]."""
        return [expert(inputs, training=training) for expert in self._experts]


class Gate(keras.layers.Layer):  # type: ignore[misc]
    """A mean of experts, whose weights softmax(x W) the input chooses for each row.

    As in MMoE and PLE the gate is linear and has no bias.

    Args:
        count: E.
        input_width: D.
    """

    def __init__(self, count: int, input_width: int, *, name: str, seed: int) -> None:
        super().__init__(name=name)
        self._scores = dense(
            count, input_width, name=f"{name}_scores", seed=seed, use_bias=False
        )
        self.built = True

    def call(self, inputs: tf.Tensor, experts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Mixes.

        Args:
            inputs: float32 [B, D], what the gate decides by.
            experts: E times float32 [B, W].

        Returns:
            float32 [B, W].
        """
        # In bfloat16 the weights of many experts would not add up to 1.
        scores = ops.cast(self._scores(inputs), "float32")
        weights = ops.cast(ops.softmax(scores, axis=-1), experts[0].dtype)
        mixture = weights[:, :1] * experts[0]
        # Added up one by one: [B, E, W] is never made.
        for number, expert in enumerate(experts[1:], start=1):
            mixture += weights[:, number : number + 1] * expert
        return mixture
