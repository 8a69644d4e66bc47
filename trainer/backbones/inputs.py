"""What the backbones have in common: flat inputs from embedded groups."""

import keras
import tensorflow as tf

from trainer.layers.fields import NumberVectors, split_numbers
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool

__all__ = ["FlatInputs", "flat_inputs", "flat_width"]


def flat_width(layout: GroupsLayout) -> int:
    """Returns the width of `flat_inputs`."""
    return layout.width + sum(s.total for s in layout.sequences.values())


def flat_inputs(groups: EmbeddedGroups) -> tf.Tensor:
    """Returns all groups, the numbers, and the mean-pooled sequences, concatenated.

    Returns:
        float32 [B, flat_width].
    """
    parts = [*groups.embeddings.values(), groups.numeric]
    parts += [mean_pool(s.values, s.mask) for s in groups.sequences.values()]
    return tf.concat(parts, axis=1)


class FlatInputs(keras.layers.Layer):  # type: ignore[misc]
    """Everything that is known of a row, side by side; sequences mean-pooled.

    Args:
        layout: of the embedded groups.
        number_dim: of the vector that a number is multiplied with; None leaves numbers
            as they are. Dense vectors always stay.
        seed: of the initial weights.
    """

    def __init__(
        self,
        layout: GroupsLayout,
        number_dim: int | None,
        *,
        seed: int,
        name: str = "backbone_inputs",
    ) -> None:
        super().__init__(name=name)
        self._layout = layout
        self._vectors: NumberVectors | None = None
        self.width = flat_width(layout)
        if number_dim is not None:
            self._vectors = NumberVectors(
                layout, number_dim, name=f"{name}_numbers", seed=seed
            )
            self.width += self._vectors.count * (number_dim - 1)
        self.built = True

    def call(self, groups: EmbeddedGroups) -> tf.Tensor:
        """Returns float32 [B, width]."""
        if self._vectors is None:
            return flat_inputs(groups)
        numbers = split_numbers(groups, self._layout)
        vectors = self._vectors(numbers.scalars)
        width = self._vectors.count * self._vectors.width
        parts = [groups.embeddings[group] for group in self._layout.groups]
        parts += [numbers.pooled, tf.reshape(vectors, (-1, width)), *numbers.dense]
        return tf.concat(parts, axis=1)
