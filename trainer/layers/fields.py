"""Fields: one vector of the same width for each input of a model.

Legend: B batch, n numbers, F fields, d their width.
"""

from collections.abc import Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from configs.errors import JobError
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool
from trainer.layers.mlp import dense
from trainer.layers.seeds import derived_seed

__all__ = ["Field", "Fields", "NumberVectors", "Numbers", "split_numbers"]


class Field(NamedTuple):
    """The feature that a field belongs to, and that feature's group (`behaviour` of
    sequences)."""

    feature: str
    group: str


class Numbers(NamedTuple):
    """What is known of a row besides its embeddings, and its pooled sequences.

    Attributes:
        pooled: float32 [B, D], embeddings of the mean-pooled sequences.
        scalars: float32 [B, n]: numbers and missing indicators, then the means of
            numbers over sequences.
        dense: float32 [B, length] of each dense vector.
    """

    pooled: tf.Tensor
    scalars: tf.Tensor
    dense: list[tf.Tensor]


def split_numbers(groups: EmbeddedGroups, layout: GroupsLayout) -> Numbers:
    """Pools the sequences of a batch, and tells single numbers from vectors."""
    lengths = [c.width for c in layout.numeric_columns if c.dense]
    single = layout.numeric - sum(lengths)
    embedded, scalars = [], [groups.numeric[:, :single]]
    for name, widths in layout.sequences.items():
        sequence = groups.sequences[name]
        pooled = mean_pool(sequence.values, sequence.mask)
        embedded.append(pooled[:, : widths.categorical])
        scalars.append(pooled[:, widths.categorical :])
    return Numbers(
        pooled=tf.concat(embedded or [groups.numeric[:, :0]], axis=1),
        scalars=tf.concat(scalars, axis=1),
        dense=tf.split(groups.numeric[:, single:], lengths, axis=1) if lengths else [],
    )


def scalar_fields(layout: GroupsLayout) -> Iterator[Field]:
    """Yields the field of each of `Numbers.scalars`."""
    for columns in layout.numeric_columns:
        if not columns.dense:
            yield Field(columns.feature, columns.group)
    for name, widths in layout.sequences.items():
        yield from [Field(name, "behaviour")] * widths.numeric


class NumberVectors(keras.layers.Layer):  # type: ignore[misc]
    """Each number becomes a vector of its own, times the number (as in FuxiCTR).

    Args:
        layout: of the embedded groups.
        width: d.
    """

    def __init__(
        self, layout: GroupsLayout, width: int, *, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self.count = sum(1 for _ in scalar_fields(layout))
        self._vectors: keras.Variable | None = None
        if self.count:
            self._vectors = self.add_weight(
                name="vectors",
                shape=(self.count, width),
                initializer=keras.initializers.GlorotUniform(derived_seed(seed, name)),
            )
        self.width = width
        self.built = True

    def call(self, scalars: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, n] to [B, n, d]."""
        if self._vectors is None:
            return tf.zeros((tf.shape(scalars)[0], 0, self.width), scalars.dtype)
        return scalars[:, :, tf.newaxis] * self._vectors.value


class Fields(keras.layers.Layer):  # type: ignore[misc]
    """A vector for each feature, number and field of a sequence.

    Multi-valued features and sequences are pooled; a number is a vector of its own
    times the number; a dense vector is mapped to the width by a matrix.

    Args:
        layout: of the embedded groups.

    Raises:
        JobError: if the embeddings have different widths, or there is but one field.
    """

    def __init__(
        self, layout: GroupsLayout, *, seed: int, name: str = "backbone_fields"
    ) -> None:
        super().__init__(name=name)
        self._layout = layout
        embedded = list(_embedded_fields(layout))
        widths = sorted({width for _, width in embedded})
        if len(widths) != 1:
            raise JobError(
                "model.backbone: its fields must have one width, got the widths"
                f" {widths}: set 'model.embedding_dim' and no 'dim' anywhere"
            )
        self.width = widths[0]
        self._embedded = len(embedded)
        self._numbers = NumberVectors(
            layout, self.width, name=f"{name}_numbers", seed=seed
        )
        vectors = [c for c in layout.numeric_columns if c.dense]
        self._dense = [
            dense(
                self.width,
                vector.width,
                name=f"{name}_dense_{vector.feature}",
                seed=seed,
                use_bias=False,
            )
            for vector in vectors
        ]
        self.fields = [
            *(field for field, _ in embedded),
            *scalar_fields(layout),
            *(Field(vector.feature, vector.group) for vector in vectors),
        ]
        if len(self.fields) < 2:
            raise JobError(
                "model.backbone: it multiplies fields with each other, and there is but"
                f" one, of {self.fields[0].feature!r}: use logistic_regression or dnn"
            )
        self.built = True

    def call(self, groups: EmbeddedGroups) -> tf.Tensor:
        """Returns float32 [B, F, d], in the order of `fields`."""
        numbers = split_numbers(groups, self._layout)
        embedded = [groups.embeddings[group] for group in self._layout.groups]
        vectors = tf.concat([*embedded, numbers.pooled], axis=1)
        parts = [
            tf.reshape(vectors, (-1, self._embedded, self.width)),
            self._numbers(numbers.scalars),
        ]
        for layer, values in zip(self._dense, numbers.dense, strict=True):
            parts.append(layer(values)[:, tf.newaxis])
        return tf.concat(parts, axis=1)


def _embedded_fields(layout: GroupsLayout) -> Iterator[tuple[Field, int]]:
    """Yields fields with an embedding and its width, in their order."""
    for group in layout.groups:
        spans = [(s, name) for name, s in layout.spans.items() if s.group == group]
        for span, name in sorted(spans, key=lambda found: found[0].start):
            yield Field(name, group), span.stop - span.start
    for name, widths in layout.sequences.items():
        for width in widths.fields.values():
            yield Field(name, "behaviour"), width
