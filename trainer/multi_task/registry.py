"""What tasks may share, by name: one line each."""

from collections.abc import Sequence
from typing import Any

import keras

from configs.multi_task import MultiTask
from trainer.multi_task.mmoe import MMoE
from trainer.multi_task.ple import PLE
from trainer.multi_task.shared_bottom import SharedBottom

__all__ = ["MULTI_TASK", "build_multi_task"]

MULTI_TASK: dict[str, Any] = {
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
}


def build_multi_task(
    config: MultiTask, tasks: Sequence[str], input_width: int, *, seed: int
) -> keras.layers.Layer:
    """Returns a layer from the backbone's hidden vector, float32 [B, input_width], to
    one for each task, [B, width], with the attribute `width`."""
    return MULTI_TASK[config.name](config, tasks, input_width, seed=seed)
