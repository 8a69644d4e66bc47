"""The wide part of a model: a weight for each value and each number."""

import keras
import tensorflow as tf

from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool
from trainer.layers.mlp import dense

__all__ = ["Wide"]


class Wide(keras.layers.Layer):  # type: ignore[misc]
    """The sum of the first-order weights of all values, and a weighted sum of numbers.

    Args:
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    def __init__(
        self, layout: GroupsLayout, *, seed: int, name: str = "backbone_wide"
    ) -> None:
        super().__init__(name=name)
        self._categorical = {n: s.categorical for n, s in layout.sequences.items()}
        numbers = layout.numeric + sum(s.numeric for s in layout.sequences.values())
        self._linear = None
        if numbers:
            self._linear = dense(
                1, numbers, name=f"{name}_numbers", seed=seed, use_bias=False
            )
        self.built = True

    def call(self, groups: EmbeddedGroups) -> tf.Tensor:
        """Returns float32 [B, 1]."""
        if groups.first_order is None:
            raise ValueError("no first-order weights were looked up")
        if self._linear is None:
            return groups.first_order
        numbers = [groups.numeric]
        for name, start in self._categorical.items():
            sequence = groups.sequences[name]
            numbers.append(mean_pool(sequence.values[:, :, start:], sequence.mask))
        return groups.first_order + self._linear(tf.concat(numbers, axis=1))
