"""Embedded groups: what every backbone takes in, and its static layout.

Legend: B batch, L behaviours, D width of a group or sequence.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

__all__ = [
    "GROUPS",
    "EmbeddedGroups",
    "EmbeddedSequence",
    "GroupsLayout",
    "NumericColumns",
    "SequenceWidths",
    "Span",
    "mean_pool",
]

GROUPS = ("user", "item", "context")
"""The groups of features that are no sequences, in their order."""


class EmbeddedSequence(NamedTuple):
    """One behaviour sequence.

    Attributes:
        values: float32 [B, L, D], the fields one after another, categorical ones first;
            zeros where there is no behaviour.
        mask: bool [B, L], whether there is a behaviour.
        fields: float32 [B, L, d] for each categorical field.
    """

    values: tf.Tensor
    mask: tf.Tensor
    fields: dict[str, tf.Tensor]


class EmbeddedGroups(NamedTuple):
    """The features of a batch, ready for a backbone.

    Attributes:
        embeddings: float32 [B, D] for each of `user`, `item` and `context` that has
            embedded features, these one after another (see `GroupsLayout.spans`).
        numeric: float32 [B, Dn], transformed numbers, then dense vectors; Dn may be 0.
        sequences: by feature name.
        first_order: float32 [B, 1], the sum of the weights that single values have
            beside their embeddings: pooled where embeddings are, mean-pooled over
            sequences. None if the backbone needs none.
        further: the same features in each further set of embeddings; `numeric` and
            the numbers of sequences are the same in all.
    """

    embeddings: dict[str, tf.Tensor]
    numeric: tf.Tensor
    sequences: dict[str, EmbeddedSequence]
    first_order: tf.Tensor | None = None
    further: "tuple[EmbeddedGroups, ...]" = ()


@dataclass(frozen=True)
class Span:
    """Where a feature's embedding lies in its group: columns start to stop."""

    group: str
    start: int
    stop: int


@dataclass(frozen=True)
class NumericColumns:
    """Columns of `EmbeddedGroups.numeric`: of a number, a missing indicator (of the
    same feature) or a dense vector, of that feature's group."""

    feature: str
    group: str
    width: int
    dense: bool = False


@dataclass(frozen=True, kw_only=True)
class SequenceWidths:
    """Widths of a sequence.

    Attributes:
        fields: of each categorical field.
        numeric: number of numeric columns.
        item_fields: for each field that shares a table with a feature of the group
            `item`, that feature.
        max_length: behaviours of a row, at most.
    """

    fields: dict[str, int]
    numeric: int
    item_fields: dict[str, str]
    max_length: int

    @property
    def categorical(self) -> int:
        """Width of the categorical fields together."""
        return sum(self.fields.values())

    @property
    def total(self) -> int:
        """Width of `EmbeddedSequence.values`."""
        return self.categorical + self.numeric


@dataclass(frozen=True, kw_only=True)
class GroupsLayout:
    """The static side of `EmbeddedGroups`: what a backbone is built from.

    Attributes:
        groups: width of each group that has embeddings.
        spans: of each categorical, multi-valued and bucketized feature.
        numeric: width of `EmbeddedGroups.numeric`.
        numeric_columns: what these columns are, in their order.
        sequences: by feature name.
        further: of `EmbeddedGroups.further`.
    """

    groups: dict[str, int]
    spans: dict[str, Span]
    numeric: int
    numeric_columns: tuple[NumericColumns, ...]
    sequences: dict[str, SequenceWidths]
    further: "tuple[GroupsLayout, ...]" = ()

    @property
    def width(self) -> int:
        """Width of groups and numbers together, sequences left out."""
        return sum(self.groups.values()) + self.numeric


def mean_pool(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the positions that hold something; zeros if none does.

    Args:
        values: float32 [B, L, D].
        mask: bool [B, L].

    Returns:
        float32 [B, D].
    """
    weights = tf.cast(mask, values.dtype)
    total = tf.einsum("bld,bl->bd", values, weights)
    count = tf.reduce_sum(weights, axis=1, keepdims=True)
    return total / tf.maximum(count, 1.0)
