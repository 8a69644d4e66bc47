"""The auxiliary tasks by name: one line each."""

from typing import Any

import keras

from configs.job import Job
from trainer.auxiliary.nip import NIP
from trainer.auxiliary.uim import UIM
from trainer.layers.groups import GroupsLayout

__all__ = ["AUXILIARY", "build_auxiliary"]

AUXILIARY: dict[str, Any] = {"uim": UIM, "nip": NIP}


def build_auxiliary(
    config: Any, job: Job, layout: GroupsLayout, *, seed: int
) -> keras.layers.Layer:
    """Returns the layer of an auxiliary task.

    Called with the embedded groups and the batch, it returns a float32 scalar: this
    replica's share of the mean over the anchors of all replicas, 0 if there are none.
    """
    return AUXILIARY[config.name](config, job, layout, seed=seed)
