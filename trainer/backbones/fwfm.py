"""FwFM: an FM whose pairs of fields have weights (Pan et al. 2018)."""

import keras
import tensorflow as tf

from configs.backbones import FieldWeightedFM as Config
from trainer.layers.field_pairs import WeightedPairs
from trainer.layers.fields import Fields
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.wide import Wide

__all__ = ["FieldWeightedFM"]


class FieldWeightedFM(keras.layers.Layer):  # type: ignore[misc]
    """sum_i w_i + sum_{i<j} r_ij <v_i, v_j> over fields; the head adds the bias.

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
        self._pairs = WeightedPairs(len(self._fields.fields), name="backbone_pairs")
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, 1]."""
        return self._wide(groups) + self._pairs(self._fields(groups))
