"""Where a behaviour sequence meets the item that is to be predicted for.

Legend: B batch, L behaviours, S slots, d width of the fields that are shared, r of the
others, D = d + r.
"""

from typing import NamedTuple

import tensorflow as tf

from configs.errors import JobError
from trainer.layers.groups import (
    EmbeddedGroups,
    EmbeddedSequence,
    GroupsLayout,
    SequenceWidths,
)

__all__ = [
    "Meeting",
    "Recent",
    "meeting",
    "meeting_width",
    "met_sequences",
    "recent",
    "shared_fields",
]


class Meeting(NamedTuple):
    """Behaviours and item in the fields that share a table.

    Attributes:
        behaviours: float32 [B, L, d].
        target: the item, float32 [B, d].
        others: what else is known of the behaviours, float32 [B, L, r].
    """

    behaviours: tf.Tensor
    target: tf.Tensor
    others: tf.Tensor


class Recent(NamedTuple):
    """The last behaviours of each row, so that all rows end in the same slot.

    Attributes:
        places: int32 [B, S], where they stand in the sequence.
        mask: bool [B, S], whether there is one: the first slots may be empty.
    """

    places: tf.Tensor
    mask: tf.Tensor

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the behaviours' `values` [B, L, ...] as [B, S, ...]; anything in
        empty slots."""
        return tf.gather(values, self.places, axis=1, batch_dims=1)


def meeting_width(widths: SequenceWidths) -> int:
    """Returns d."""
    return sum(widths.fields[field] for field in widths.item_fields)


def met_sequences(backbone: str, layout: GroupsLayout) -> list[str]:
    """Returns the sequences that share a table with an item feature.

    Raises:
        JobError: if there is none.
    """
    met = [name for name, s in layout.sequences.items() if meeting_width(s)]
    if not met:
        raise JobError(
            f"model.backbone: {backbone} attends to the item, but no field of"
            f" {sorted(layout.sequences)} shares the table of a feature with 'group"
            ": item': give a field 'shares: <the item feature>'"
        )
    return met


def meeting(name: str, groups: EmbeddedGroups, layout: GroupsLayout) -> Meeting:
    """Returns where a sequence meets the item; it is one of `met_sequences`."""
    sequence, widths = groups.sequences[name], layout.sequences[name]
    target = []
    for feature in widths.item_fields.values():
        span = layout.spans[feature]
        target.append(groups.embeddings[span.group][:, span.start : span.stop])
    others = [v for f, v in sequence.fields.items() if f not in widths.item_fields]
    others.append(sequence.values[:, :, widths.categorical :])
    return Meeting(
        shared_fields(sequence, widths),
        tf.concat(target, axis=-1),
        tf.concat(others, axis=-1),
    )


def shared_fields(sequence: EmbeddedSequence, widths: SequenceWidths) -> tf.Tensor:
    """Returns the fields that share a table with the item, float32 [B, L, d]."""
    return tf.concat([sequence.fields[field] for field in widths.item_fields], axis=-1)


def recent(sequence: EmbeddedSequence, slots: int) -> Recent:
    """Finds the last S = `slots` behaviours of each row."""
    counts = tf.reduce_sum(tf.cast(sequence.mask, tf.int32), axis=1)
    places = counts[:, tf.newaxis] - slots + tf.range(slots)
    return Recent(tf.maximum(places, 0), places >= 0)
