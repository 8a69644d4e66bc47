"""DIN: target attention over behaviour sequences (Zhou et al. 2018)."""

import keras
import tensorflow as tf

from configs.backbones import DeepInterest as Config
from configs.errors import JobError
from trainer.layers.attention import TargetAttention
from trainer.layers.groups import (
    EmbeddedGroups,
    EmbeddedSequence,
    GroupsLayout,
    mean_pool,
)
from trainer.layers.mlp import MLP

__all__ = ["DeepInterest"]


class DeepInterest(keras.layers.Layer):  # type: ignore[misc]
    """Each sequence is summed up with the weights that its behaviours have for the
    item; an MLP takes the sums, all groups and the numbers.

    Behaviours meet the item in the fields that share a table with an item feature; a
    sequence without such a field is mean-pooled.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.

    Raises:
        JobError: if no sequence shares a table with an item feature.
    """

    gives_score = False

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        self._layout = layout
        self._attention = {}
        for name, sequence in layout.sequences.items():
            width = sum(sequence.fields[field] for field in sequence.item_fields)
            if width:
                self._attention[name] = TargetAttention(
                    width,
                    config.attention_hidden,
                    name=f"backbone_attention_{name}",
                    seed=seed,
                )
        if not self._attention:
            raise JobError(
                "model.backbone: din attends to the item, but no field of"
                f" {sorted(layout.sequences)} shares the table of a feature with 'group"
                ": item': give a field 'shares: <the item feature>'"
            )
        inputs = layout.width + sum(s.total for s in layout.sequences.values())
        self._mlp = MLP(
            inputs,
            config.hidden,
            name="backbone_hidden",
            seed=seed,
            dropout=config.dropout,
        )
        self.width = self._mlp.width
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, width]."""
        parts = [*groups.embeddings.values(), groups.numeric]
        for name, sequence in groups.sequences.items():
            if name in self._attention:
                parts.append(self._interest(name, sequence, groups))
            else:
                parts.append(mean_pool(sequence.values, sequence.mask))
        return self._mlp(tf.concat(parts, axis=1), training=training)

    def _interest(
        self, name: str, sequence: EmbeddedSequence, groups: EmbeddedGroups
    ) -> tf.Tensor:
        """Returns the weighted sum of the behaviours, float32 [B, D]."""
        behaviours, target = [], []
        for field, feature in self._layout.sequences[name].item_fields.items():
            span = self._layout.spans[feature]
            behaviours.append(sequence.fields[field])
            target.append(groups.embeddings[span.group][:, span.start : span.stop])
        weights = self._attention[name](
            tf.concat(behaviours, axis=-1), tf.concat(target, axis=-1), sequence.mask
        )
        return tf.einsum("bl,bld->bd", weights, sequence.values)
