"""DNN: an MLP over everything side by side."""

import keras
import tensorflow as tf

from configs.backbones import DeepNetwork as Config
from trainer.backbones.inputs import FlatInputs
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["DeepNetwork"]


class DeepNetwork(keras.layers.Layer):  # type: ignore[misc]
    """An MLP over embeddings and numbers; behaviour sequences enter mean-pooled.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    gives_score = False

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        self._inputs = FlatInputs(layout, config.number_dim, seed=seed)
        self._mlp = MLP(
            self._inputs.width,
            config.hidden,
            name="backbone_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        return self._mlp(self._inputs(groups), training=training)
