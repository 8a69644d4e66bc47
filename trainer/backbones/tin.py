"""TIN: when a behaviour was, beside what it was (Zhou et al. 2024, arXiv:2308.08487).

Legend: B batch, S behaviours at most, d width of the fields shared with the item, D of
a behaviour.
"""

import keras
import tensorflow as tf

from configs.backbones import TemporalInterest as Config
from trainer.backbones.interests import InterestNetwork
from trainer.layers.attention import masked_softmax
from trainer.layers.groups import EmbeddedSequence, GroupsLayout, SequenceWidths
from trainer.layers.meeting import Meeting, meeting_width, met_sequences, recent
from trainer.layers.seeds import derived_seed

__all__ = ["TemporalInterest"]


class TemporalInterest(InterestNetwork):
    """Temporal Interest Network: the interests of all sequences in an MLP, beside all
    groups and numbers.

    A sequence that shares no table with an item feature is mean-pooled.

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
            sequence: TemporalInterestUnit(
                layout.sequences[sequence],
                name=f"{name}_interest_{sequence}",
                seed=seed,
            )
            for sequence in met_sequences("tin", layout)
        }
        super().__init__(
            layout,
            interests,
            hidden=config.hidden,
            dropout=config.dropout,
            seed=seed,
            name=name,
        )


class TemporalInterestUnit(keras.layers.Layer):  # type: ignore[misc]
    """Target-aware temporal encoding, attention and representation.

    With e_t the behaviour t and v the item in the fields that they share, and p_k what
    is learned for the k-th last behaviour, p_0 for the item:

        e~_t = e_t + p_k(t),  v~ = v + p_0,  a = softmax(e~ . v~ / sqrt(d)),
        u = sum_t a_t e~_t,  result = [u, u * v~, sum_t a_t (other fields of t)]

    sum_t a_t (e~_t * v~), as in the paper, is u * v~. Without behaviours u is 0.

    Args:
        widths: of the sequence.
    """

    def __init__(self, widths: SequenceWidths, *, name: str, seed: int) -> None:
        super().__init__(name=name)
        shared = meeting_width(widths)
        self._slots = widths.max_length
        self._scale = float(shared) ** -0.5
        self._positions = self.add_weight(
            name="positions",
            shape=(self._slots + 1, shared),
            initializer=keras.initializers.GlorotUniform(derived_seed(seed, name)),
        )
        self.width = widths.total + shared
        self.built = True

    def call(self, sequence: EmbeddedSequence, met: Meeting) -> tf.Tensor:
        """Returns float32 [B, D + d]."""
        last = recent(sequence, self._slots)
        # Slots are counted from the oldest, positions from the item.
        positions = tf.cast(self._positions.value, met.target.dtype)[::-1]
        behaviours = last.of(met.behaviours) + positions[:-1]
        target = met.target + positions[-1]
        scores = tf.einsum("bsd,bd->bs", behaviours, target) * self._scale
        weights = tf.cast(masked_softmax(scores, last.mask), behaviours.dtype)
        interest = tf.einsum("bs,bsd->bd", weights, behaviours)
        others = tf.einsum("bs,bsd->bd", weights, last.of(met.others))
        return tf.concat([interest, interest * target, others], axis=1)
