"""MaskNet: layers whose inputs are masked (Wang et al. 2021, arXiv:2102.07619)."""

import keras
import tensorflow as tf

from configs.backbones import MaskNetwork as Config
from trainer.layers.fields import Fields
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mask_block import FieldNormalization, MaskBlock
from trainer.layers.mlp import MLP

__all__ = ["MaskNetwork"]


class MaskNetwork(keras.layers.Layer):  # type: ignore[misc]
    """Blocks that take normalized fields or each other's outputs, all masked by the
    fields as they are.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    gives_score = False

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        self._fields = Fields(layout, seed=seed)
        count, width = len(self._fields.fields), self._fields.width
        self._flat = count * width
        self._normalize = FieldNormalization(count, width, name="backbone_norm")
        self._mlp: MLP | None = None
        inputs = [self._flat, *config.hidden[:-1]]
        widths = list(config.hidden)
        if config.structure == "parallel":
            inputs = [self._flat] * config.blocks
            widths = [config.block_width] * config.blocks
            self._mlp = MLP(
                sum(widths),
                config.hidden,
                name="backbone_hidden",
                seed=seed,
                dropout=config.dropout,
            )
        self._blocks = [
            MaskBlock(
                self._flat,
                inputs[number],
                widths[number],
                reduction=config.reduction,
                dropout=config.dropout,
                name=f"backbone_block_{number}",
                seed=seed,
            )
            for number in range(len(widths))
        ]
        self.width = config.hidden[-1]
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        fields = self._fields(groups)
        embeddings = tf.reshape(fields, (-1, self._flat))
        normalized = tf.reshape(self._normalize(fields), (-1, self._flat))
        if self._mlp is not None:
            outputs = [
                block(embeddings, normalized, training=training)
                for block in self._blocks
            ]
            return self._mlp(tf.concat(outputs, axis=1), training=training)
        hidden = normalized
        for block in self._blocks:
            hidden = block(embeddings, hidden, training=training)
        return hidden
