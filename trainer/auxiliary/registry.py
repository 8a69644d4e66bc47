"""The auxiliary tasks by name: one line each."""

from typing import Any

import keras

from configs.job import Job
from configs.own import OwnAuxiliary, implementation_of
from trainer.auxiliary.cl4ctr_alignment import CL4CTRAlignment
from trainer.auxiliary.cl4ctr_contrastive import CL4CTRContrastive
from trainer.auxiliary.cl4ctr_uniformity import CL4CTRUniformity
from trainer.auxiliary.deepmcp_correlation import DeepMCPCorrelation
from trainer.auxiliary.deepmcp_matching import DeepMCPMatching
from trainer.auxiliary.dmr import DMR
from trainer.auxiliary.nip import NIP
from trainer.auxiliary.uim import UIM
from trainer.layers.groups import GroupsLayout

__all__ = ["AUXILIARY", "build_auxiliary"]

AUXILIARY: dict[str, Any] = {
    "uim": UIM,
    "nip": NIP,
    "dmr": DMR,
    "deepmcp_matching": DeepMCPMatching,
    "deepmcp_correlation": DeepMCPCorrelation,
    "cl4ctr_contrastive": CL4CTRContrastive,
    "cl4ctr_alignment": CL4CTRAlignment,
    "cl4ctr_uniformity": CL4CTRUniformity,
}


def build_auxiliary(
    config: Any, job: Job, layout: GroupsLayout, *, seed: int
) -> keras.layers.Layer:
    """Returns the layer of an auxiliary task.

    Called with the embedded groups and the batch, it returns a float32 scalar: this
    replica's share of the mean over the anchors of all replicas, 0 if there are none.
    A task with a table of its own names it in `table_variables`.
    """
    own = isinstance(config, OwnAuxiliary)
    build = implementation_of(config) if own else AUXILIARY[config.name]
    return build(config, job, layout, seed=seed)
