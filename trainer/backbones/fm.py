"""FM: a weight for each value, and products of embeddings (Rendle 2010)."""

import keras
import tensorflow as tf

from configs.backbones import FactorizationMachine as Config
from trainer.layers.field_pairs import sum_of_pairs
from trainer.layers.fields import Fields
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.wide import Wide

__all__ = ["FactorizationMachine"]


class FactorizationMachine(keras.layers.Layer):  # type: ignore[misc]
    """sum_i w_i + sum_{i<j} <v_i, v_j> over fields; the head adds the bias.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    gives_score = True

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        del config  # There is nothing to configure.
        self.width = 1
        self._wide = Wide(layout, seed=seed)
        self._fields = Fields(layout, seed=seed)
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, 1]."""
        return self._wide(groups) + sum_of_pairs(self._fields(groups))
