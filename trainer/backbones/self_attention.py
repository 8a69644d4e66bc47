"""Plain self-attention over behaviour sequences (AT4CTR, AAAI 2024, eqs. 2 and 3)."""

import keras
import tensorflow as tf

from configs.backbones import SelfAttention as Config
from trainer.backbones.interests import InterestNetwork
from trainer.layers.attention import SelfAttention
from trainer.layers.groups import EmbeddedSequence, GroupsLayout, mean_pool
from trainer.layers.meeting import Meeting

__all__ = ["SelfAttentionNetwork"]


class SelfAttentionNetwork(InterestNetwork):
    """The behaviours of each sequence attend to each other, and their mean goes into an
    MLP beside all groups and numbers. No field has to be shared with the item.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        interests = {
            name: AttendedMean(
                widths.total,
                config.width,
                name=f"backbone_attention_{name}",
                seed=seed,
            )
            for name, widths in layout.sequences.items()
        }
        super().__init__(
            layout, interests, hidden=config.hidden, dropout=config.dropout, seed=seed
        )


class AttendedMean(keras.layers.Layer):  # type: ignore[misc]
    """The mean of a self-attention over the behaviours."""

    def __init__(self, input_width: int, width: int, *, name: str, seed: int) -> None:
        super().__init__(name=f"{name}_mean")
        self.width = width
        self._attention = SelfAttention(
            input_width, width, causal=False, name=name, seed=seed
        )
        self.built = True

    def call(self, sequence: EmbeddedSequence, met: Meeting | None) -> tf.Tensor:
        """Returns float32 [B, width]; zeros for an empty sequence."""
        del met
        attended = self._attention(sequence.values, sequence.mask)
        return mean_pool(attended, sequence.mask)
