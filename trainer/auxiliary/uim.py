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
from trainer.auxiliary.infonce import info_nce, unit_vectors
from trainer.layers.attention import SelfAttention
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool
from trainer.layers.mlp import MLP

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
    the second. Without positives the loss is 0.

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
        user_width = layout.groups.get("user", 0)
        user_width += sum(s.total for s in layout.sequences.values())
        self._user, self._item = (
            MLP(
                width,
                config.projection,
                name=f"auxiliary_uim_{side}",
                seed=seed,
                linear_output=True,
            )
            for side, width in (("user", user_width), ("item", layout.groups["item"]))
        )
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns the loss, a float32 scalar."""
        rows = tf.where(batch[LABELS][:, self._label] > 0.5)[:, 0]
        users = unit_vectors(self._user(self._user_side(groups, batch)))
        items = unit_vectors(self._item(groups.embeddings["item"]))
        loss = self._direction(rows, users, items, item_ids(self._job, batch))
        loss += self._direction(rows, items, users, user_ids(self._job, batch))
        count = tf.cast(tf.size(rows), tf.float32)
        return tf.math.divide_no_nan(loss, count)

    def _direction(
        self, rows: tf.Tensor, own: tf.Tensor, others: tf.Tensor, ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the sum over positive rows, matching `own` with `others`, [n, d]."""
        allowed = None
        if self._config.mask_duplicates:
            columns = tf.range(tf.size(ids, out_type=rows.dtype), dtype=rows.dtype)
            different = tf.gather(ids, rows)[:, tf.newaxis] != ids
            allowed = different | (rows[:, tf.newaxis] == columns)
        losses = info_nce(
            tf.gather(own, rows),
            tf.gather(others, rows),
            others,
            allowed,
            self._config.temperature,
        )
        return tf.reduce_sum(losses)

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
