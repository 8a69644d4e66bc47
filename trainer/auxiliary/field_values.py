"""The distinct values of each field in a batch, for CL4CTR.

Legend: b rows of a replica, B of the global batch, c columns of a field, d width of
an embedding.

A field is a table: the categorical features with one value that share it, or one
bucketized feature.
"""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from configs.auxiliary_rules import field_tables
from configs.features import NumericFeature
from configs.job import Job
from configs.layout import CATEGORICAL, NUMERIC, layout_of
from trainer.auxiliary.identity import distinct_rows
from trainer.collectives import gather_all
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.numeric import bucket_boundaries, bucketize

__all__ = ["FieldValues", "field_values", "total_of"]


class FieldValues(NamedTuple):
    """The values of a field in the own rows.

    Attributes:
        vectors: their embeddings, float32 [b c, d]; a value comes as often as it does
            in the rows.
        counts: 1 where the value comes for the first time in the global batch, else 0,
            float32 [b c].
        distinct: how many of those there are on all replicas, a float32 scalar.
    """

    vectors: tf.Tensor
    counts: tf.Tensor
    distinct: tf.Tensor

    def sum(self, vectors: tf.Tensor) -> tf.Tensor:
        """Returns the sum [d] of `vectors` [b c, d] over the values that count."""
        return tf.linalg.matvec(vectors, self.counts, transpose_a=True)


def field_values(
    job: Job,
    layout: GroupsLayout,
    groups: EmbeddedGroups,
    batch: Mapping[str, tf.Tensor],
) -> list[FieldValues]:
    """Returns the values of each field, in the order of the features.

    Values are told apart by their fingerprints: those that share a row of a table
    count as many. Over replicas the fingerprints are gathered.
    """
    tables = field_tables(job)
    columns = [_ids(job, batch, name) for names in tables.values() for name in names]
    (ids,), share = gather_all([tf.stack(columns, axis=1)])
    found = []
    start = 0
    for names in tables.values():
        parts = ids[:, start : start + len(names)]
        start += len(names)
        first, _ = distinct_rows(tf.reshape(parts, [-1]))
        counts = tf.scatter_nd(
            first[:, tf.newaxis], tf.ones_like(first, tf.float32), [tf.size(parts)]
        )
        counts = share.of(tf.reshape(counts, tf.shape(parts)))
        spans = [layout.spans[name] for name in names]
        vectors = [groups.embeddings[s.group][:, s.start : s.stop] for s in spans]
        found.append(
            FieldValues(
                vectors=tf.reshape(
                    tf.stack(vectors, axis=1), [tf.size(counts), vectors[0].shape[1]]
                ),
                counts=tf.reshape(counts, [-1]),
                distinct=tf.cast(tf.size(first), tf.float32),
            )
        )
    return found


def total_of(fields: list[FieldValues]) -> tf.Tensor:
    """Returns the number of values of all fields."""
    return tf.add_n([field.distinct for field in fields])


def _ids(job: Job, batch: Mapping[str, tf.Tensor], name: str) -> tf.Tensor:
    """Returns what tells the values of a feature apart, int64 [b]."""
    feature, layout = job.features[name], layout_of(job)
    if isinstance(feature, NumericFeature) and feature.bucketize:
        column = batch[NUMERIC][:, layout.numeric.index(name)]
        buckets = bucketize(column, bucket_boundaries(feature.bucketize))
        return tf.cast(buckets, tf.int64)
    return batch[CATEGORICAL][:, layout.categorical.index(name)]
