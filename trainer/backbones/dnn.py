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
        name: of the layer, and the beginning of its parts' names.
    """

    gives_score = False

    def __init__(
        self,
        config: Config,
        layout: GroupsLayout,
        *,
        seed: int,
        name: str = "backbone",
    ) -> None:
        super().__init__(name=name)
        self._inputs = FlatInputs(
            layout, config.number_dim, seed=seed, name=f"{name}_inputs"
        )
        self._mlp = MLP(
            self._inputs.width,
            config.hidden,
            name=f"{name}_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        return self._mlp(self._inputs(groups), training=training)
