"""No interaction at all: the embeddings, for what comes above to work on."""

import keras
import tensorflow as tf

from configs.backbones import Flat as Config
from trainer.backbones.inputs import flat_inputs, flat_width
from trainer.layers.groups import EmbeddedGroups, GroupsLayout

__all__ = ["Flat"]


class Flat(keras.layers.Layer):  # type: ignore[misc]
    """All groups, numbers and mean-pooled sequences side by side. There is nothing to
    train, so that the experts of MMoE and PLE see the embeddings, as in their papers.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: not used.
    """

    gives_score = False

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        del config, seed
        self.width = flat_width(layout)
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        del training
        return flat_inputs(groups)
