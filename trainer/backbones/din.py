"""DIN: target attention over behaviour sequences (Zhou et al. 2018)."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from configs.backbones import DeepInterest as Config
from trainer.backbones.interests import InterestNetwork
from trainer.layers.attention import TargetAttention
from trainer.layers.groups import EmbeddedSequence, GroupsLayout, SequenceWidths
from trainer.layers.meeting import Meeting, meeting_width, met_sequences

__all__ = ["DeepInterest"]


class DeepInterest(InterestNetwork):
    """Each sequence is summed up with the weights that its behaviours have for the
    item; an MLP takes the sums, all groups and the numbers.

    Behaviours meet the item in the fields that share a table with an item feature; a
    sequence without such a field is mean-pooled.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
        name: of the layer, and the beginning of its parts' names.

    Raises:
        JobError: if no sequence shares a table with an item feature.
    """

    def __init__(
        self,
        config: Config,
        layout: GroupsLayout,
        *,
        seed: int,
        name: str = "backbone",
    ) -> None:
        interests = {
            sequence: ActivatedSum(
                layout.sequences[sequence],
                config.attention_hidden,
                name=f"{name}_attention_{sequence}",
                seed=seed,
            )
            for sequence in met_sequences("din", layout)
        }
        super().__init__(
            layout,
            interests,
            hidden=config.hidden,
            dropout=config.dropout,
            seed=seed,
            name=name,
        )


class ActivatedSum(keras.layers.Layer):  # type: ignore[misc]
    """The sum of the behaviours, each times what it matters to the item."""

    def __init__(
        self, widths: SequenceWidths, hidden: Sequence[int], *, name: str, seed: int
    ) -> None:
        super().__init__(name=f"{name}_sum")
        self.width = widths.total
        self._attention = TargetAttention(
            meeting_width(widths), hidden, name=name, seed=seed
        )
        self.built = True

    def call(self, sequence: EmbeddedSequence, met: Meeting) -> tf.Tensor:
        """Returns float32 [B, D]."""
        weights = self._attention(met.behaviours, met.target, sequence.mask)
        return tf.einsum("bl,bld->bd", weights, sequence.values)
