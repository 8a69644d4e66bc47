"""DCN V2: explicit crosses and an MLP (Wang et al. 2021, arXiv:2008.13535)."""

import keras
import tensorflow as tf

from configs.backbones import CrossNetworkV2 as Config
from trainer.backbones.inputs import FlatInputs
from trainer.layers.cross import build_cross
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["CrossNetworkV2"]


class CrossNetworkV2(keras.layers.Layer):  # type: ignore[misc]
    """Cross layers x' = x0 * (W x + b) + x, beside (`parallel`) or below (`stacked`) an
    MLP; behaviour sequences enter mean-pooled.

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
        inputs = self._inputs.width
        self._stacked = config.structure == "stacked"
        self._cross = [
            build_cross(
                inputs,
                rank=config.rank,
                experts=config.experts,
                name=f"{name}_cross_{number}",
                seed=seed,
            )
            for number in range(config.cross_layers)
        ]
        self._mlp = MLP(
            inputs,
            config.hidden,
            name=f"{name}_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._mlp.width + (0 if self._stacked else inputs)
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        inputs = self._inputs(groups)
        crossed = inputs
        for layer in self._cross:
            crossed = layer(inputs, crossed)
        if self._stacked:
            return self._mlp(crossed, training=training)
        return tf.concat([crossed, self._mlp(inputs, training=training)], axis=1)
