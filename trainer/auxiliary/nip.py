"""NIP: next item prediction (AT4CTR, AAAI 2024, equations 8 to 10)."""

import keras
import tensorflow as tf

from configs.job import Job
from configs.layout import layout_of, sequence_key
from configs.model import NIP as Config
from trainer.auxiliary.identity import Batch, distinct_rows, history_keys, user_ids
from trainer.auxiliary.infonce import symmetric_info_nce_sum, unit_vectors
from trainer.layers.attention import SelfAttention
from trainer.layers.groups import EmbeddedGroups, EmbeddedSequence, GroupsLayout

__all__ = ["NIP"]


class NIP(keras.layers.Layer):  # type: ignore[misc]
    """Lets the first k behaviours predict the next one.

    r_i^k is the state of a causal self-attention of its own after k behaviours of
    history i, e_i^k the embedding of behaviour k (its categorical fields). Over the
    distinct histories of the batch, and all k for which behaviour k + 1 exists:

        -(1/targets) sum_{i,k} log( s(i, i) / sum_j s(i, j) ),
        s(i, j) = exp(cos(r_i^k, e_j^{k+1}) / t)

    plus the same with r and e exchanged. j runs over i and at most `max_negatives`
    other histories that have a behaviour k + 1 (the histories are cut into blocks of
    near-equal size). With `mask_duplicates` those whose behaviour k + 1 is the same
    are left out of the first sum over j, those of the same user out of the second.
    Without targets the loss is 0.

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
        """Returns the loss, a float32 scalar."""
        sequence = groups.sequences[self._sequence]
        rows = self._rows(sequence, batch)
        mask = tf.gather(sequence.mask, rows)
        # Behind the longest history there is nothing to do.
        longest = tf.reduce_max(
            tf.concat([[0], tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)], axis=0)
        )
        mask = mask[:, :longest]
        values = tf.gather(sequence.values, rows)[:, :longest]
        items = batch[sequence_key(self._sequence, self._first_field)]
        items = tf.gather(items, rows)[:, 1:longest]
        states = unit_vectors(self._attention(values, mask))[:, :-1]
        targets = unit_vectors(values[:, 1:, : self._width])
        valid = mask[:, 1:]
        users = tf.broadcast_to(
            tf.gather(user_ids(self._job, batch), rows)[:, tf.newaxis], tf.shape(valid)
        )
        blocks = self._blocks(tf.shape(valid)[0])
        masked = self._config.mask_duplicates
        loss = symmetric_info_nce_sum(
            _groups(states, blocks),
            _groups(targets, blocks),
            _groups(valid, blocks),
            _groups(_numbered(items), blocks) if masked else None,
            _groups(_numbered(users), blocks) if masked else None,
            self._config.temperature,
        )
        count = tf.reduce_sum(tf.cast(valid, tf.float32))
        return tf.math.divide_no_nan(loss, count)

    def _rows(self, sequence: EmbeddedSequence, batch: Batch) -> tf.Tensor:
        """Returns a row of each distinct history with two behaviours or more."""
        keys = history_keys(self._job, batch, self._sequence)
        first, _ = distinct_rows(keys)
        lengths = tf.reduce_sum(tf.cast(sequence.mask, tf.int32), axis=1)
        return tf.boolean_mask(first, tf.gather(lengths, first) > 1)

    def _blocks(self, histories: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns number and size of the blocks whose members are negatives."""
        most = self._config.max_negatives + 1
        number = tf.maximum((histories + most - 1) // most, 1)
        return number, tf.maximum((histories + number - 1) // number, 1)


def _numbered(ids: tf.Tensor) -> tf.Tensor:
    """Returns small numbers, equal where ids are: int32 compares twice as fast."""
    _, places = tf.unique(tf.reshape(ids, (-1,)))
    return tf.reshape(places, tf.shape(ids))


def _groups(values: tf.Tensor, blocks: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Regroups [U, K, ...] to [number * K, size, ...]: a group holds one position of
    the histories of a block. Missing histories are zeros, and thus not valid."""
    number, size = blocks
    missing = number * size - tf.shape(values)[0]
    rank = values.shape.rank
    values = tf.pad(values, [[0, missing], *[[0, 0]] * (rank - 1)])
    inner = tf.shape(values)[1:]
    values = tf.reshape(values, tf.concat([[number, size], inner], axis=0))
    values = tf.transpose(values, [0, 2, 1, *range(3, rank + 1)])
    flat = tf.concat([[number * inner[0], size], inner[1:]], axis=0)
    return tf.reshape(values, flat)
