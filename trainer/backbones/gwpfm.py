"""GwPFM: an FM with vectors for parts and weights of pairs of parts."""

import keras
import tensorflow as tf

from configs.backbones import GroupWeightedFM as Config
from configs.experts import GroupWeightedExpert as ExpertConfig
from trainer.layers.field_pairs import PartPairs
from trainer.layers.fields import Field, Fields
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP
from trainer.layers.wide import Wide

__all__ = ["GroupWeightedExpert", "GroupWeightedFM"]


class GroupWeightedFM(keras.layers.Layer):  # type: ignore[misc]
    """sum_i w_i + sum_{i<j} r_{p(i) p(j)} <v_{i,p(j)}, v_{j,p(i)}> over fields.

    Group-weighted part-aware FM (Pan et al. 2024, arXiv:2403.00793): field i has a
    vector for each part p(j) that it may meet. With one part it is an FM.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    gives_score = True

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        self.width = 1
        self._wide = Wide(layout, seed=seed)
        self._fields = Fields(layout, seed=seed)
        parts = _parts(config, self._fields.fields)
        self._pairs = PartPairs(parts, name="backbone_pairs")
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, 1]."""
        pairs = self._pairs(self._fields(groups))
        return self._wide(groups) + tf.reduce_sum(pairs, axis=1, keepdims=True)


class GroupWeightedExpert(keras.layers.Layer):  # type: ignore[misc]
    """MLP( sum_{i<j} r_{p(i) p(j)} v_{i,p(j)} * v_{j,p(i)} ), with elementwise products
    and no first-order weights: a GwPFM as one expert of several.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
        name: of the layer, and the beginning of its parts' names.
    """

    def __init__(
        self, config: ExpertConfig, layout: GroupsLayout, *, seed: int, name: str
    ) -> None:
        super().__init__(name=name)
        self._fields = Fields(layout, seed=seed, name=f"{name}_fields")
        parts = _parts(config, self._fields.fields)
        self._pairs = PartPairs(parts, name=f"{name}_pairs")
        self._mlp = MLP(
            self._fields.width // (max(parts) + 1),
            config.hidden,
            name=f"{name}_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        return self._mlp(self._pairs(self._fields(groups)), training=training)


def _parts(config: Config | ExpertConfig, fields: list[Field]) -> list[int]:
    """Returns the part of each field."""
    if config.parts is None:
        groups = list(dict.fromkeys(field.group for field in fields))
        return [groups.index(field.group) for field in fields]
    part = {name: k for k, names in enumerate(config.parts) for name in names}
    return [part[field.feature] for field in fields]
