"""DeepFM: an FM and an MLP over the same embeddings (Guo et al. 2017)."""

import keras
import tensorflow as tf

from configs.backbones import DeepFM as Config
from trainer.layers.field_pairs import sum_of_pairs
from trainer.layers.fields import Fields
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP
from trainer.layers.wide import Wide

__all__ = ["DeepFM"]


class DeepFM(keras.layers.Layer):  # type: ignore[misc]
    """The score of an FM, and the last hidden vector of an MLP over its fields.

    The head adds the score to what it makes of the vector: as published at the start,
    and then with a weight of its own, so that several tasks can share the two.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    gives_score = False
    scores = 1

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        self._wide = Wide(layout, seed=seed)
        self._fields = Fields(layout, seed=seed)
        self._flat = len(self._fields.fields) * self._fields.width
        self._mlp = MLP(
            self._flat,
            config.hidden,
            name="backbone_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = 1 + self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        fields = self._fields(groups)
        deep = self._mlp(tf.reshape(fields, (-1, self._flat)), training=training)
        pairs = sum_of_pairs(fields)
        score = tf.cast(self._wide(groups), pairs.dtype) + pairs
        return tf.concat([tf.cast(score, deep.dtype), deep], axis=1)
