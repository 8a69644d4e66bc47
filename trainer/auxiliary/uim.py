"""UIM: user-item match (AT4CTR, AAAI 2024, equations 2 to 7)."""

import keras
import tensorflow as tf

from configs.job import Job
from configs.layout import LABELS, layout_of
from configs.model import UIM as Config
from trainer.auxiliary.identity import (
    Batch,
    distinct_rows,
    history_keys,
    item_ids,
    user_ids,
)
from trainer.auxiliary.sides import user_and_item_towers
from trainer.collectives import gather_all
from trainer.layers.attention import SelfAttention
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool
from trainer.similarity import Meetings, log_sums, unit_vectors

__all__ = ["UIM"]


class UIM(keras.layers.Layer):  # type: ignore[misc]
    """Pulls a user toward the items that were clicked, away from those of other rows.

    User side: the profile's embeddings and, for each sequence, the mean over an own
    self-attention. Item side: the item's embeddings. Each goes through a projection
    head of its own (dense, ReLU, dense). With r the results, cos the cosine, n+ the
    positives and n the rows of the batch:

        -(1/n+) sum_{i in +} log( s(i, i) / sum_{j=1..n} s(i, j) ),
        s(i, j) = exp(cos(rU_i, rI_j) / t)

    plus the same with user and item exchanged. With `mask_duplicates` other rows with
    the same item are left out of the first sum over j, those with the same user out of
    the second. Without positives the loss is 0. The batch is that of all replicas:
    projections and ids are gathered, and each replica asks for its own positives.

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        super().__init__(name="auxiliary_uim")
        self._config = config
        self._job = job
        self._label = layout_of(job).labels.index(config.task)
        self._attention = {
            name: SelfAttention(
                sequence.total,
                sequence.total,
                causal=False,
                name=f"auxiliary_uim_{name}",
                seed=seed,
            )
            for name, sequence in layout.sequences.items()
        }
        self._user, self._item = user_and_item_towers(
            layout, config.projection, name="auxiliary_uim", seed=seed
        )
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        labels = batch[LABELS][:, self._label]
        (users, items, labels, user_keys, item_keys), share = gather_all(
            [
                unit_vectors(self._user(self._user_side(groups, batch))),
                unit_vectors(self._item(groups.embeddings["item"])),
                labels,
                user_ids(self._job, batch),
                item_ids(self._job, batch),
            ]
        )
        # Each replica asks for its own positives; all rows answer.
        rows = tf.where(share.of(labels) > 0.5)[:, 0]
        rows = share.start + tf.cast(rows, tf.int32)
        loss = self._direction(rows, users, items, item_keys)
        loss += self._direction(rows, items, users, user_keys)
        count = tf.reduce_sum(tf.cast(labels > 0.5, tf.float32))
        return tf.math.divide_no_nan(loss, count)

    def _direction(
        self, rows: tf.Tensor, own: tf.Tensor, others: tf.Tensor, ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the sum over `rows`, matching `own` with `others`, [B, d]."""
        anchors, meetings = tf.gather(own, rows), Meetings(rows, keeps_own=True)
        if self._config.mask_duplicates:
            _, ids = tf.unique(ids)  # int32 compares twice as fast
            meetings = Meetings(rows, True, tf.gather(ids, rows), ids)
        below = log_sums(
            anchors,
            others,
            meetings,
            factors=tf.ones_like(anchors[:, 0]),
            weights=tf.ones_like(others[:, 0]),
            temperature=self._config.temperature,
        )
        above = tf.reduce_sum(anchors * tf.gather(others, rows), axis=1)
        return tf.reduce_sum(below - above / self._config.temperature)

    def _user_side(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        parts = []
        if "user" in groups.embeddings:
            parts.append(groups.embeddings["user"])
        for name, sequence in groups.sequences.items():
            # Rows of a request share the history: attend once.
            keys = history_keys(self._job, batch, name, numeric=True)
            first, places = distinct_rows(keys)
            values = tf.gather(sequence.values, first)
            mask = tf.gather(sequence.mask, first)
            pooled = mean_pool(self._attention[name](values, mask), mask)
            parts.append(tf.gather(pooled, places))
        return tf.concat(parts, axis=1)
