"""Heterogeneous experts with multi-embedding (Pan et al. 2024, arXiv:2403.00793)."""

from typing import Any

import keras
import tensorflow as tf

from configs.experts import HeterogeneousExperts as Config
from trainer.backbones.dcn_v2 import CrossNetworkV2
from trainer.backbones.din import DeepInterest
from trainer.backbones.dnn import DeepNetwork
from trainer.backbones.gwpfm import GroupWeightedExpert
from trainer.backbones.ipnn import InnerProductNetwork
from trainer.backbones.tin import TemporalInterest
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["EXPERTS", "HeterogeneousExperts"]

EXPERTS: dict[str, Any] = {
    "gwpfm": GroupWeightedExpert,
    "ipnn": InnerProductNetwork,
    "dcn_v2": CrossNetworkV2,
    "dnn": DeepNetwork,
    "din": DeepInterest,
    "tin": TemporalInterest,
}


class HeterogeneousExperts(keras.layers.Layer):  # type: ignore[misc]
    """tower(expert_1(E_1), expert_2(E_1), expert_3(E_2), ...), side by side, with the
    embeddings E_s of set s. Behaviour sequences enter mean-pooled, except into the
    experts that attend to them.

    Args:
        config: its section of the job.
        layout: of the embedded groups, those of the further sets in it.
        seed: of the initial weights.
    """

    gives_score = False

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        layouts = [layout, *layout.further]
        chosen = [(s, e) for s, group in enumerate(config.sets) for e in group.experts]
        self._set_of = [number for number, _ in chosen]
        self.experts = [
            EXPERTS[expert.name](
                expert,
                layouts[number],
                seed=seed,
                name=f"backbone_expert_{place}_{expert.name}",
            )
            for place, (number, expert) in enumerate(chosen)
        ]
        self._tower = MLP(
            sum(expert.width for expert in self.experts),
            config.hidden,
            name="backbone_tower",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._tower.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        sets = [groups, *groups.further]
        outputs = [
            # Sums over pairs are float32 in any case.
            tf.cast(expert(sets[number], training=training), self.compute_dtype)
            for number, expert in zip(self._set_of, self.experts, strict=True)
        ]
        return self._tower(tf.concat(outputs, axis=1), training=training)
