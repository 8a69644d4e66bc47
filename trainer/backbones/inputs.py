"""What the backbones have in common: flat inputs from embedded groups."""

import tensorflow as tf

from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool

__all__ = ["flat_inputs", "flat_width"]


def flat_width(layout: GroupsLayout) -> int:
    """Returns the width of `flat_inputs`."""
    return layout.width + sum(s.total for s in layout.sequences.values())


def flat_inputs(groups: EmbeddedGroups) -> tf.Tensor:
    """Returns all groups, the numbers, and the mean-pooled sequences, concatenated.

    Returns:
        float32 [B, flat_width].
    """
    parts = [*groups.embeddings.values(), groups.numeric]
    parts += [mean_pool(s.values, s.mask) for s in groups.sequences.values()]
    return tf.concat(parts, axis=1)
