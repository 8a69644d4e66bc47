"""NIP: next item prediction (AT4CTR, AAAI 2024, equations 8 to 10)."""

import keras
import tensorflow as tf

from configs.job import Job
from configs.layout import layout_of, sequence_key
from configs.model import NIP as Config
from trainer.auxiliary.blocks import group_members
from trainer.auxiliary.identity import Batch, own_histories, user_ids
from trainer.auxiliary.infonce import symmetric_info_nce_sum
from trainer.collectives import gather_all
from trainer.layers.attention import SelfAttention
from trainer.layers.groups import EmbeddedGroups, EmbeddedSequence, GroupsLayout
from trainer.similarity import unit_vectors

__all__ = ["NIP"]


class NIP(keras.layers.Layer):  # type: ignore[misc]
    """Lets the first k behaviours predict the next one.

    r_i^k is the state of a causal self-attention of its own after k behaviours of
    history i, e_i^k the embedding of behaviour k (its categorical fields). Over the
    distinct histories of the batch, and all k for which behaviour k + 1 exists:

        -(1/targets) sum_{i,k} log( s(i, i) / sum_j s(i, j) ),
        s(i, j) = exp(cos(r_i^k, e_j^{k+1}) / t)

    plus the same with r and e exchanged. j runs over i and at most `max_negatives`
    other histories that have a behaviour k + 1 (for each k, these are cut into blocks
    of near-equal size, in the order of the batch). With `mask_duplicates` those whose
    behaviour k + 1 is the same are left out of the first sum over j, those of the same
    user out of the second. Without targets the loss is 0. The batch is that of all
    replicas: r, e and ids are gathered, and each replica predicts the histories whose
    first row is its own.

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        super().__init__(name="auxiliary_nip")
        self._config = config
        self._job = job
        self._sequence = config.sequence or next(iter(layout.sequences))
        self._first_field = layout_of(job).sequences[self._sequence].fields[0]
        widths = layout.sequences[self._sequence]
        self._width = widths.categorical
        self._attention = SelfAttention(
            widths.total,
            widths.categorical,
            causal=True,
            name="auxiliary_nip_attention",
            seed=seed,
        )
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        sequence = groups.sequences[self._sequence]
        columns, share = gather_all(self._predictions(sequence, batch))
        states, targets, positions, *ids = columns
        members = group_members(positions, share, self._config.max_negatives + 1)
        places = tf.maximum(members, 0)
        valid = members >= 0
        counted = valid & (places >= share.start) & (places < share.stop)
        items, users = (
            tf.gather(_numbered(x), places) if self._config.mask_duplicates else None
            for x in ids
        )
        loss = symmetric_info_nce_sum(
            tf.gather(states, places),
            tf.gather(targets, places),
            valid,
            counted,
            items,
            users,
            self._config.temperature,
        )
        count = tf.cast(tf.size(positions), tf.float32)
        return tf.math.divide_no_nan(loss, count)

    def _predictions(self, sequence: EmbeddedSequence, batch: Batch) -> list[tf.Tensor]:
        """Returns states, targets, positions, items and users, one row for each target
        of each own history, histories one after another."""
        rows = own_histories(self._job, batch, self._sequence, sequence.mask)
        mask = tf.gather(sequence.mask, rows)
        # Behind the longest history there is nothing to do.
        longest = tf.reduce_max(
            tf.concat([[1], tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)], axis=0)
        )
        mask = mask[:, :longest]
        values = tf.gather(sequence.values, rows)[:, :longest]
        items = batch[sequence_key(self._sequence, self._first_field)]
        items = tf.gather(items, rows)[:, 1:longest]
        states = self._attention(values, mask)[:, :-1]
        targets = values[:, 1:, : self._width]
        places = tf.where(mask[:, 1:])
        users = tf.gather(user_ids(self._job, batch), rows)
        return [
            unit_vectors(tf.gather_nd(states, places)),
            unit_vectors(tf.gather_nd(targets, places)),
            tf.cast(places[:, 1], tf.int32),
            tf.gather_nd(items, places),
            tf.gather(users, places[:, 0]),
        ]


def _numbered(ids: tf.Tensor) -> tf.Tensor:
    """Returns small numbers, equal where ids are: int32 compares twice as fast."""
    _, places = tf.unique(tf.reshape(ids, (-1,)))
    return tf.reshape(places, tf.shape(ids))
