"""IPNN: an MLP over embeddings and their inner products (Qu et al. 2016)."""

import keras
import tensorflow as tf

from configs.backbones import InnerProductNetwork as Config
from trainer.layers.field_pairs import inner_products
from trainer.layers.fields import Fields
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["InnerProductNetwork"]


class InnerProductNetwork(keras.layers.Layer):  # type: ignore[misc]
    """An MLP over all fields and the inner product of each pair of them.

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
        self._fields = Fields(layout, seed=seed, name=f"{name}_fields")
        count = len(self._fields.fields)
        self._flat = count * self._fields.width
        self._mlp = MLP(
            self._flat + count * (count - 1) // 2,
            config.hidden,
            name=f"{name}_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        fields = self._fields(groups)
        parts = [tf.reshape(fields, (-1, self._flat)), inner_products(fields)]
        return self._mlp(tf.concat(parts, axis=1), training=training)
