"""The auxiliary losses that belong to a backbone: one line each."""

from typing import Any

import keras

from configs.job import Job
from trainer.auxiliary.dbpman import PathContrast
from trainer.auxiliary.dien import NextBehaviour
from trainer.layers.groups import GroupsLayout

__all__ = ["OF_BACKBONE", "build_backbone_loss"]

OF_BACKBONE: dict[str, Any] = {"dien": NextBehaviour, "dbpman": PathContrast}


def build_backbone_loss(
    job: Job, layout: GroupsLayout, backbone: keras.layers.Layer, *, seed: int
) -> keras.layers.Layer | None:
    """Returns the layer of the loss that a backbone brings along for its training; None
    if it has none, or its `auxiliary_weight` is 0.

    Called with the embedded groups, the batch and the backbone's states, it returns a
    float32 scalar: this replica's share. It is no part of the backbone, so nothing of
    it is exported.
    """
    config = job.model.backbone
    if config.name not in OF_BACKBONE or not getattr(config, "auxiliary_weight", 0.0):
        return None
    return OF_BACKBONE[config.name](config, job, layout, backbone, seed=seed)
