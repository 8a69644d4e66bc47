"""DIEN: how interests evolve toward the item (Zhou et al. 2019, arXiv:1809.03672).

Legend: B batch, L behaviours, H width of a state.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from configs.backbones import DeepInterestEvolution as Config
from trainer.backbones.interests import InterestNetwork
from trainer.layers.attention import masked_softmax
from trainer.layers.groups import (
    EmbeddedGroups,
    EmbeddedSequence,
    GroupsLayout,
    SequenceWidths,
)
from trainer.layers.meeting import Meeting, meeting_width, met_sequences
from trainer.layers.mlp import dense
from trainer.layers.recurrent import GatedRecurrence

__all__ = ["DeepInterestEvolution"]


class Evolved(NamedTuple):
    """What becomes of a sequence.

    Attributes:
        interest: the last state of the evolution, float32 [B, H].
        states: those of the extractor, float32 [B, L, H].
    """

    interest: tf.Tensor
    states: tf.Tensor


class DeepInterestEvolution(InterestNetwork):
    """Deep Interest Evolution Network: the evolved interest of each sequence in an MLP,
    beside all groups and numbers.

    A sequence that shares no table with an item feature is mean-pooled. The states of
    the interest extractor are there for the auxiliary loss of training.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.

    Raises:
        JobError: if no sequence shares a table with an item feature.
    """

    gives_states = True

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        interests = {
            name: InterestEvolution(
                layout.sequences[name],
                config.units,
                name=f"backbone_interest_{name}",
                seed=seed,
            )
            for name in met_sequences("dien", layout)
        }
        super().__init__(
            layout, interests, hidden=config.hidden, dropout=config.dropout, seed=seed
        )

    def call(
        self, groups: EmbeddedGroups, training: bool = False, with_states: bool = False
    ) -> tf.Tensor | tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns float32 [B, width]; `with_states` also those of the extractors by
        sequence, float32 [B, L, H] each."""
        summaries, states = {}, {}
        for name in groups.sequences:
            summaries[name] = self._summary(name, groups)
            if name in self.interests:
                summaries[name], states[name] = summaries[name]
        hidden = self._top(groups, summaries, training)
        return (hidden, states) if with_states else hidden


class InterestEvolution(keras.layers.Layer):  # type: ignore[misc]
    """A GRU extracts the interest h_t behind each behaviour; attention to the item e,
    a = softmax(h_t . W e), scales the update gates of an AUGRU over these states.

    Args:
        widths: of the sequence.
        units: H.
    """

    def __init__(
        self, widths: SequenceWidths, units: int, *, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self.width = units
        self._extractor = GatedRecurrence(
            widths.total, units, every_state=True, name=f"{name}_extractor", seed=seed
        )
        self._query = dense(
            units,
            meeting_width(widths),
            name=f"{name}_query",
            seed=seed,
            use_bias=False,
        )
        self._evolution = GatedRecurrence(
            units, units, every_state=False, name=f"{name}_evolution", seed=seed
        )
        self.built = True

    def call(self, sequence: EmbeddedSequence, met: Meeting) -> Evolved:
        """Returns the evolved interest, and the states that it came from."""
        there = tf.cast(sequence.mask, tf.float32)
        states = self._extractor(sequence.values, there)
        query = tf.cast(self._query(met.target), tf.float32)
        attention = masked_softmax(
            tf.einsum("blh,bh->bl", states, query), sequence.mask
        )
        return Evolved(self._evolution(states, attention), states)
