"""Which rows of a batch are the same user, item or history."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from configs.features import CategoricalFeature, MultiValuedFeature, SequenceFeature
from configs.job import Job
from configs.layout import CATEGORICAL, IDS, layout_of, multi_valued_key, sequence_key
from trainer.collectives import gather_all

__all__ = ["distinct_rows", "history_keys", "item_ids", "own_histories", "user_ids"]

Batch = Mapping[str, tf.Tensor]


def user_ids(job: Job, batch: Batch) -> tf.Tensor:
    """Returns int64 [B]: `ids.user`, or unless the job has it a hash of the
    categorical features of the group `user` and of the behaviours."""
    return _ids(job, batch, "user")


def item_ids(job: Job, batch: Batch) -> tf.Tensor:
    """Returns int64 [B]: `ids.item`, or unless the job has it a hash of the
    categorical features of the group `item`."""
    return _ids(job, batch, "item")


def history_keys(
    job: Job, batch: Batch, sequence: str, *, numeric: bool = False
) -> tf.Tensor:
    """Returns int64 [B], equal for equal histories: a hash of the categorical fields
    of a sequence, and of the numeric ones if asked for."""
    layout = layout_of(job).sequences[sequence]
    columns = []
    for field in layout.fields:
        values = batch[sequence_key(sequence, field)]
        if field not in layout.numeric:
            columns.append(values)
        elif numeric:
            columns.append(tf.cast(tf.bitcast(values, tf.int32), tf.int64))
    return _hash(columns)


def own_histories(job: Job, batch: Batch, sequence: str, mask: tf.Tensor) -> tf.Tensor:
    """Returns the own rows that are the first in the batch of all replicas with their
    history, which has two behaviours or more.

    Args:
        job: the job.
        batch: the own rows.
        sequence: name of the feature.
        mask: of its embedded behaviours, bool [B, L].
    """
    (keys,), share = gather_all([history_keys(job, batch, sequence)])
    first, _ = distinct_rows(keys)
    own = (first >= share.start) & (first < share.stop)
    rows = tf.boolean_mask(first, own) - share.start
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
    return tf.boolean_mask(rows, tf.gather(lengths, rows) > 1)


def distinct_rows(keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the first row of each distinct key, int32 [U], and for each row the place
    of its key among those, int32 [B]."""
    distinct, places = tf.unique(keys)
    rows = tf.range(tf.size(keys))
    first = tf.math.unsorted_segment_min(rows, places, tf.size(distinct))
    return first, places


def _ids(job: Job, batch: Batch, kind: str) -> tf.Tensor:
    layout = layout_of(job)
    if kind in layout.ids:
        return batch[IDS][:, layout.ids.index(kind)]
    columns = []
    for name, feature in job.features.items():
        if isinstance(feature, CategoricalFeature) and feature.group == kind:
            place = layout.categorical.index(name)
            columns.append(batch[CATEGORICAL][:, place : place + 1])
        elif isinstance(feature, MultiValuedFeature) and feature.group == kind:
            columns.append(batch[multi_valued_key(name)])
        elif isinstance(feature, SequenceFeature) and kind == "user":
            columns.append(history_keys(job, batch, name)[:, tf.newaxis])
    return _hash(columns)


def _hash(columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns int64 [B]: int64 [B, n] columns times odd numbers, summed mod 2**64."""
    total = tf.zeros_like(columns[0][:, 0])
    for number, values in enumerate(columns):
        # Values shifted by 1: padding (-1) adds nothing, so its amount does not count.
        total += tf.reduce_sum((values + 1) * _multipliers(number, values), axis=1)
    return total


def _multipliers(number: int, values: tf.Tensor) -> tf.Tensor:
    random = np.random.default_rng(number)
    most = 4096
    numbers = random.integers(0, 2**62, most, dtype=np.int64) * 2 + 1
    return tf.gather(tf.constant(numbers), tf.range(tf.shape(values)[1]) % most)
