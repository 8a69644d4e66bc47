"""Wide & Deep: a linear model beside an MLP (Cheng et al. 2016)."""

import keras
import tensorflow as tf

from configs.backbones import WideAndDeep as Config
from trainer.backbones.inputs import FlatInputs
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP
from trainer.layers.wide import Wide

__all__ = ["WideAndDeep"]


class WideAndDeep(keras.layers.Layer):  # type: ignore[misc]
    """The score of the wide part, and the last hidden vector of the deep one.

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
        self._inputs = FlatInputs(layout, config.number_dim, seed=seed)
        self._mlp = MLP(
            self._inputs.width,
            config.hidden,
            name="backbone_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = 1 + self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        deep = self._mlp(self._inputs(groups), training=training)
        wide = tf.cast(self._wide(groups), deep.dtype)
        return tf.concat([wide, deep], axis=1)
