"""What the backbones over behaviour sequences have in common.

Legend: B batch, D width of a sequence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool
from trainer.layers.meeting import meeting, meeting_width
from trainer.layers.mlp import MLP

__all__ = ["InterestNetwork"]


class InterestNetwork(keras.layers.Layer):  # type: ignore[misc]
    """An MLP over all groups, the numbers, and what each sequence tells of interests.

    Args:
        layout: of the embedded groups.
        interests: for a sequence the layer that sums it up: with `width`, from an
            `EmbeddedSequence` and its `Meeting` (None without shared fields) to float32
            [B, width]. Sequences without one are mean-pooled.
        hidden: widths of the MLP.
        dropout: in the MLP.
        seed: of the initial weights.
        name: of the layer, and the beginning of its parts' names.
    """

    gives_score = False

    def __init__(
        self,
        layout: GroupsLayout,
        interests: Mapping[str, Any],
        *,
        hidden: Sequence[int],
        dropout: float,
        seed: int,
        name: str = "backbone",
    ) -> None:
        super().__init__(name=name)
        self._layout = layout
        self.interests = dict(interests)
        inputs = layout.width
        for sequence, widths in layout.sequences.items():
            known = self.interests.get(sequence)
            inputs += widths.total if known is None else known.width
        self._mlp = MLP(
            inputs, hidden, name=f"{name}_hidden", seed=seed, dropout=dropout
        )
        self.width = self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        summaries = {name: self._summary(name, groups) for name in groups.sequences}
        return self._top(groups, summaries, training)

    def _summary(self, name: str, groups: EmbeddedGroups) -> Any:
        sequence = groups.sequences[name]
        if name not in self.interests:
            return mean_pool(sequence.values, sequence.mask)
        met = None
        if meeting_width(self._layout.sequences[name]):
            met = meeting(name, groups, self._layout)
        return self.interests[name](sequence, met)

    def _top(
        self,
        groups: EmbeddedGroups,
        summaries: Mapping[str, tf.Tensor],
        training: bool,
    ) -> tf.Tensor:
        parts = [*groups.embeddings.values(), groups.numeric, *summaries.values()]
        # A summary may be float32 where all else is of lower precision.
        parts = [tf.cast(part, parts[0].dtype) for part in parts]
        return self._mlp(tf.concat(parts, axis=1), training=training)
