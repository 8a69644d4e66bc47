"""The backbones by name: one line each."""

from typing import Any

import keras

from configs.backbones import BackboneSection
from configs.errors import JobError
from configs.own import OwnBackbone, implementation_of
from trainer.backbones.dbpman import PathMatching
from trainer.backbones.dcn_v2 import CrossNetworkV2
from trainer.backbones.deepfm import DeepFM
from trainer.backbones.dien import DeepInterestEvolution
from trainer.backbones.din import DeepInterest
from trainer.backbones.dnn import DeepNetwork
from trainer.backbones.experts import HeterogeneousExperts
from trainer.backbones.flat import Flat
from trainer.backbones.fm import FactorizationMachine
from trainer.backbones.fwfm import FieldWeightedFM
from trainer.backbones.gwpfm import GroupWeightedFM
from trainer.backbones.ipnn import InnerProductNetwork
from trainer.backbones.logistic_regression import LogisticRegression
from trainer.backbones.masknet import MaskNetwork
from trainer.backbones.self_attention import SelfAttentionNetwork
from trainer.backbones.tin import TemporalInterest
from trainer.backbones.wide_deep import WideAndDeep
from trainer.layers.groups import GroupsLayout

__all__ = ["BACKBONES", "build_backbone"]

BACKBONES: dict[str, Any] = {
    "logistic_regression": LogisticRegression,
    "flat": Flat,
    "fm": FactorizationMachine,
    "fwfm": FieldWeightedFM,
    "gwpfm": GroupWeightedFM,
    "dnn": DeepNetwork,
    "wide_deep": WideAndDeep,
    "deepfm": DeepFM,
    "ipnn": InnerProductNetwork,
    "dcn_v2": CrossNetworkV2,
    "masknet": MaskNetwork,
    "din": DeepInterest,
    "dien": DeepInterestEvolution,
    "dbpman": PathMatching,
    "tin": TemporalInterest,
    "self_attention": SelfAttentionNetwork,
    "experts": HeterogeneousExperts,
}


def build_backbone(
    config: BackboneSection, layout: GroupsLayout, *, seed: int
) -> keras.layers.Layer:
    """Returns the backbone of a job: a layer from `EmbeddedGroups` to a hidden vector,
    float32 [B, width], with the attributes `width` and `gives_score` (whether that
    vector is one number, a logit up to a bias), and `scores` if its first so many
    numbers are logits that a head adds to its own.

    Raises:
        JobError: if it cannot be built for this layout.
    """
    if not isinstance(config, OwnBackbone):
        return BACKBONES[config.name](config, layout, seed=seed)
    backbone = implementation_of(config)(config, layout, seed=seed)
    if not isinstance(getattr(backbone, "width", None), int):
        raise JobError(
            f"model.backbone: {config.name} has no 'width': set self.width to the width"
            " of its hidden vector, in the constructor"
        )
    backbone.gives_score = config.gives_score
    return backbone
