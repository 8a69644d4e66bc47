"""The backbones by name: one line each."""

from typing import Any

import keras

from configs.backbones import Backbone
from trainer.backbones.dcn_v2 import CrossNetworkV2
from trainer.backbones.din import DeepInterest
from trainer.backbones.flat import Flat
from trainer.backbones.logistic_regression import LogisticRegression
from trainer.layers.groups import GroupsLayout

__all__ = ["BACKBONES", "build_backbone"]

BACKBONES: dict[str, Any] = {
    "logistic_regression": LogisticRegression,
    "flat": Flat,
    "dcn_v2": CrossNetworkV2,
    "din": DeepInterest,
}


def build_backbone(
    config: Backbone, layout: GroupsLayout, *, seed: int
) -> keras.layers.Layer:
    """Returns the backbone of a job: a layer from `EmbeddedGroups` to a hidden vector,
    float32 [B, width], with the attributes `width` and `gives_score` (whether that
    vector is one number, a logit up to a bias)."""
    return BACKBONES[config.name](config, layout, seed=seed)
