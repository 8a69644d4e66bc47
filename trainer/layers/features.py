"""From encoded features to embedded groups."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    TimeFeature,
)
from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    DENSE,
    NUMERIC,
    PADDING,
    layout_of,
    multi_valued_key,
    sequence_key,
    weights_key,
)
from configs.manifest import NumericStatistics, Statistics
from trainer.layers.first_order import first_order_sum
from trainer.layers.groups import (
    GROUPS,
    EmbeddedGroups,
    EmbeddedSequence,
    GroupsLayout,
    NumericColumns,
    SequenceWidths,
    Span,
    mean_pool,
)
from trainer.layers.numeric import (
    NumericInput,
    NumericTransform,
    bucket_boundaries,
    bucketize,
    quantile_boundaries,
)
from trainer.layers.tables import Block, FusedTables, Table, tables_of

__all__ = ["FeatureEmbedding"]


class FeatureEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """Embeds the encoded features of a job.

    Args:
        job: the job.
        statistics: of numeric inputs, None to leave them to a checkpoint.
        vocabularies: by table, None to leave them to a checkpoint.
        vocabulary_sizes: by table.
        seed: of the initial embeddings.
    """

    def __init__(
        self,
        job: Job,
        *,
        statistics: Statistics | None,
        vocabularies: Mapping[str, np.ndarray[Any, Any]] | None,
        vocabulary_sizes: Mapping[str, int],
        seed: int,
    ) -> None:
        super().__init__(name="features")
        self._features = job.features
        self._order = layout_of(job)
        self._table_specs = tables_of(job, vocabulary_sizes)
        self._table_of = _table_names(job)
        self._columns = _columns(job, self._table_of, self._table_specs)
        further = job.model.backbone.further_sets
        self._widths = [
            {name: self._table_specs[t].dim for name, t in self._table_of.items()},
            *(dict.fromkeys(self._table_of, dim) for dim in further),
        ]
        self.tables = FusedTables(
            self._table_specs,
            self._blocks(),
            vocabularies=vocabularies,
            initial_stddev=job.training.embedding_initial_stddev,
            seed=seed,
            first_order=job.model.backbone.first_order,
            further=further,
        )
        known = None if statistics is None else statistics.numeric
        self._number_names, inputs = _numeric_inputs(job)
        self._numbers = None
        if inputs:
            self._numbers = NumericTransform(inputs, statistics=known, name="numeric")
        self._sequence_numbers = {
            name: NumericTransform(fields, statistics=known, name=f"numeric_{name}")
            for name, fields in _sequence_numbers(job).items()
        }
        self._boundaries = self._add_boundaries(known)
        first, *others = (self._layout(job, widths) for widths in self._widths)
        self.layout = replace(first, further=tuple(others))
        self.built = True

    def call(self, features: dict[str, tf.Tensor]) -> EmbeddedGroups:
        """Embeds encoded features (keys and shapes: `configs.layout`)."""
        found = self.tables(self._ids(features))
        first_order = None
        if found.weights:
            first_order = first_order_sum(found.weights, features, self._features)
        numeric = self._numeric(features)
        first, *further = (
            EmbeddedGroups(
                embeddings={
                    group: self._group(group, vectors, features, widths)
                    for group in self.layout.groups
                },
                numeric=numeric,
                sequences={
                    name: self._sequence(name, vectors, features)
                    for name in self._order.sequences
                },
            )
            for vectors, widths in zip(
                [found.vectors, *found.further], self._widths, strict=True
            )
        )
        return first._replace(first_order=first_order, further=tuple(further))

    # What is looked up.

    def _blocks(self) -> list[Block]:
        blocks = [
            Block(name=key, tables=tuple(self._table_of[name] for name in names))
            for key, names in self._columns.items()
        ]
        for name in self._order.multi_valued:
            blocks.append(
                Block(
                    name=multi_valued_key(name),
                    tables=(self._table_of[name],),
                    padded=True,
                )
            )
        for name, sequence in self._order.sequences.items():
            for field in sequence.categorical:
                table = self._table_of[f"{name}.{field}"]
                key = sequence_key(name, field)
                blocks.append(Block(name=key, tables=(table,), padded=True))
        return blocks

    def _ids(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        ids = {
            block.name: features[block.name] for block in self._blocks() if block.padded
        }
        for key, names in self._columns.items():
            categorical = [n for n in names if n in self._order.categorical]
            buckets = [n for n in names if n in self._order.numeric]
            parts = []
            if categorical:
                places = [self._order.categorical.index(name) for name in categorical]
                parts.append(_take(features[CATEGORICAL], places))
            parts += [self._bucket_ids(name, features) for name in buckets]
            ids[key] = parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)
        return ids

    def _bucket_ids(self, name: str, features: dict[str, tf.Tensor]) -> tf.Tensor:
        feature = self._features[name]
        if not isinstance(feature, NumericFeature) or feature.bucketize is None:
            raise TypeError(f"{name} is not bucketized")
        column = _take(features[NUMERIC], [self._order.numeric.index(name)])
        if name in self._boundaries:
            return bucketize(column, self._boundaries[name].value)
        return bucketize(column, tf.constant(bucket_boundaries(feature.bucketize)))

    def _add_boundaries(
        self, statistics: Mapping[str, NumericStatistics] | None
    ) -> dict[str, keras.Variable]:
        """Quantiles are weights: they come from the first training's statistics."""
        found = {}
        for name, feature in self._features.items():
            if isinstance(feature, NumericFeature) and feature.bucketize:
                count = feature.bucketize.quantiles
                if count is not None:
                    values = quantile_boundaries(name, count, statistics)
                    found[name] = self.add_weight(
                        name=f"boundaries_{name}",
                        shape=(count - 1,),
                        trainable=False,
                        initializer=keras.initializers.Constant(0.0),
                    )
                    found[name].assign(values)
        return found

    # What comes out.

    def _layout(self, job: Job, widths: Mapping[str, int]) -> GroupsLayout:
        groups: dict[str, int] = {}
        spans: dict[str, Span] = {}
        for name, group in self._embedded():
            width = widths[name]
            start = groups.setdefault(group, 0)
            groups[group] = start + width
            spans[name] = Span(group, start, start + width)
        columns = tuple(self._numeric_columns())
        return GroupsLayout(
            groups={group: groups[group] for group in GROUPS if group in groups},
            spans=spans,
            numeric=sum(c.width for c in columns),
            numeric_columns=columns,
            sequences={
                name: self._sequence_widths(job, name, widths)
                for name in self._order.sequences
            },
        )

    def _numeric_columns(self) -> Iterator[NumericColumns]:
        """In the order of `_numeric`: numbers, indicators, dense vectors."""
        for name in self._number_names:
            yield NumericColumns(name, self._features[name].group, 1)
        for name in self._number_names:
            feature = self._features[name]
            if isinstance(feature, NumericFeature) and feature.missing == "indicator":
                yield NumericColumns(name, feature.group, 1)
        for name, length in self._order.dense.items():
            group = self._features[name].group
            yield NumericColumns(name, group, length, dense=True)

    def _embedded(self) -> list[tuple[str, str]]:
        """Name and group of each embedded feature, in order of the columns."""
        found = [
            (name, key.partition("/")[0])
            for key, names in self._columns.items()
            for name in names
        ]
        for name in self._order.multi_valued:
            feature = self._features[name]
            if isinstance(feature, MultiValuedFeature):
                found.append((name, feature.group))
        return found

    def _sequence_widths(
        self, job: Job, name: str, widths: Mapping[str, int]
    ) -> SequenceWidths:
        sequence = self._order.sequences[name]
        items: dict[str, str] = {}
        for feature, definition in job.features.items():
            if isinstance(definition, CategoricalFeature | MultiValuedFeature):
                if definition.group == "item":
                    items.setdefault(self._table_of[feature], feature)
        tables = {f: self._table_of[f"{name}.{f}"] for f in sequence.categorical}
        return SequenceWidths(
            fields={f: widths[f"{name}.{f}"] for f in tables},
            numeric=len(sequence.numeric),
            item_fields={f: items[t] for f, t in tables.items() if t in items},
            max_length=sequence.max_length,
        )

    def _group(
        self,
        group: str,
        vectors: dict[str, tf.Tensor],
        features: dict[str, tf.Tensor],
        widths: Mapping[str, int],
    ) -> tf.Tensor:
        parts = []
        for key, names in self._columns.items():
            if key.partition("/")[0] == group:
                width = sum(widths[name] for name in names)
                parts.append(tf.reshape(vectors[key], (-1, width)))
        for name in self._order.multi_valued:
            feature = self._features[name]
            if isinstance(feature, MultiValuedFeature) and feature.group == group:
                key = multi_valued_key(name)
                weights = features.get(weights_key(name))
                parts.append(_pool(feature, vectors[key], features[key], weights))
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)

    def _numeric(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        parts = []
        if self._numbers is not None:
            places = [self._order.numeric.index(name) for name in self._number_names]
            parts.append(self._numbers(_take(features[NUMERIC], places)))
        if self._order.dense:
            parts.append(features[DENSE])
        if not parts:
            any_key = next(iter(features.values()))
            return tf.zeros((tf.shape(any_key)[0], 0), tf.float32)
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)

    def _sequence(
        self, name: str, vectors: dict[str, tf.Tensor], features: dict[str, tf.Tensor]
    ) -> EmbeddedSequence:
        sequence = self._order.sequences[name]
        mask = features[sequence_key(name, sequence.fields[0])] != PADDING
        fields = {f: vectors[sequence_key(name, f)] for f in sequence.categorical}
        parts = list(fields.values())
        numeric = [f for f in sequence.fields if f in sequence.numeric]
        if numeric:
            raw = tf.stack([features[sequence_key(name, f)] for f in numeric], axis=-1)
            numbers = self._sequence_numbers[name](raw)
            parts.append(tf.where(mask[:, :, tf.newaxis], numbers, 0.0))
        values = parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)
        return EmbeddedSequence(values=values, mask=mask, fields=fields)


def _take(values: tf.Tensor, places: Sequence[int]) -> tf.Tensor:
    """Returns the columns `places` of [B, n]; without a copy where that is all."""
    if list(places) == list(range(values.shape[1] or -1)):
        return values
    return tf.gather(values, list(places), axis=1)


def _pool(
    feature: MultiValuedFeature,
    vectors: tf.Tensor,
    ids: tf.Tensor,
    weights: tf.Tensor | None,
) -> tf.Tensor:
    if weights is not None:
        weights = tf.cast(weights, vectors.dtype)
        total = tf.einsum("bld,bl->bd", vectors, weights)
        if feature.pooling == "sum":
            return total
        sums = tf.reduce_sum(weights, axis=1, keepdims=True)
        return tf.math.divide_no_nan(total, sums)
    if feature.pooling == "sum":
        return tf.reduce_sum(vectors, axis=1)
    return mean_pool(vectors, ids != PADDING)


def _table_names(job: Job) -> dict[str, str]:
    """Returns the table of each embedded input."""
    names = {}
    for name, feature in job.features.items():
        if isinstance(
            feature, CategoricalFeature | CrossedFeature | MultiValuedFeature
        ):
            names[name] = job.table_owner(name)
        elif isinstance(feature, TimeFeature):
            names[name] = name
        elif isinstance(feature, NumericFeature) and feature.bucketize:
            names[name] = name
        elif isinstance(feature, SequenceFeature):
            for field, definition in feature.fields.items():
                if definition.kind == "categorical":
                    names[f"{name}.{field}"] = job.table_owner(f"{name}.{field}")
    return names


def _columns(
    job: Job, table_of: Mapping[str, str], tables: Mapping[str, Table]
) -> dict[str, list[str]]:
    """Returns single-valued embedded features by block (`item/16`: group and width),
    categorical ones first."""
    columns: dict[str, list[str]] = {}
    for kind in ((CategoricalFeature, CrossedFeature, TimeFeature), (NumericFeature,)):
        for name, feature in job.features.items():
            if isinstance(feature, kind) and name in table_of:
                key = f"{feature.group}/{tables[table_of[name]].dim}"
                columns.setdefault(key, []).append(name)
    return columns


def _numeric_inputs(job: Job) -> tuple[list[str], list[NumericInput]]:
    names, inputs = [], []
    for name, feature in job.features.items():
        if isinstance(feature, NumericFeature) and not feature.bucketize:
            names.append(name)
            inputs.append(
                NumericInput(
                    name=name,
                    transform=tuple(feature.transform),
                    indicator=feature.missing == "indicator",
                )
            )
    return names, inputs


def _sequence_numbers(job: Job) -> dict[str, list[NumericInput]]:
    found: dict[str, list[NumericInput]] = {}
    for name, feature in job.features.items():
        if not isinstance(feature, SequenceFeature):
            continue
        for field, definition in feature.fields.items():
            if definition.kind == "numeric":
                found.setdefault(name, []).append(
                    NumericInput(
                        name=f"{name}.{field}", transform=tuple(definition.transform)
                    )
                )
    return found
