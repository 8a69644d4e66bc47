"""DeepMCP's correlation subnet (Ouyang et al., IJCAI 2019).

Legend: N behaviours of a replica's histories, T of all replicas', Q negatives of a
pair, d width of the vectors.
"""

import keras
import tensorflow as tf

from configs.auxiliary import DeepMCPCorrelation as Config
from configs.job import Job
from configs.layout import layout_of, sequence_key
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.identity import Batch, own_histories
from trainer.collectives import gather_all, global_sum
from trainer.layers.groups import EmbeddedGroups, EmbeddedSequence, GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["DeepMCPCorrelation"]


class DeepMCPCorrelation(keras.layers.Layer):  # type: ignore[misc]
    """Skip-gram over behaviours: those close to each other in a history are alike.

    h is an MLP of a behaviour's categorical fields (ReLU, the last layer tanh), one
    for both sides of a pair. Over the pairs (i, j) of behaviours of one history with
    0 < |i - j| <= `window`, of the distinct histories of the global batch:

        -(1/pairs) sum_{i,j} [ log sigmoid(h_j . h_i) + sum_q log sigmoid(-h_q . h_i) ]

    Each pair has Q = `negatives` behaviours q of its own, drawn in each step from those
    of all these histories, as frequent as they are there; with `mask_duplicates` those
    that are the item of i or j do not count. Without pairs the loss is 0.

    Over replicas h and the items of all behaviours are gathered (8 d + 8 bytes each,
    of them 4 d backward) besides the histories' keys (8 bytes a row); each replica has
    the pairs of the histories whose first row is its own. Memory: 2 `window` * N * Q
    vectors are held for the gradient.

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of the initial weights and of the draws.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        name = "auxiliary_deepmcp_correlation"
        super().__init__(name=name)
        self._config = config
        self._job = job
        self._sequence = config.sequence or next(iter(layout.sequences))
        self._field = layout_of(job).sequences[self._sequence].fields[0]
        self._width = layout.sequences[self._sequence].categorical
        self._vectors = MLP(
            self._width,
            config.hidden,
            name=f"{name}_behaviour",
            seed=seed,
            linear_output=True,
        )
        self._draws = Draws(name=f"{name}_draws", seed=seed)
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        sequence = groups.sequences[self._sequence]
        vectors, items, places, lengths = self._behaviours(sequence, batch)
        (everyone, all_items), share = gather_all([vectors, items])
        total = tf.size(all_items)
        # Drawn for the behaviours of all replicas, each takes its own.
        shape = [2 * self._config.window, total, self._config.negatives]
        drawn = self._draws.integers(shape, total)[:, share.start : share.stop]
        loss, pairs = tf.constant(0.0), tf.constant(0.0)
        for number, offset in enumerate(self._offsets()):
            there = (places + offset >= 0) & (places + offset < lengths)
            here = tf.cast(tf.where(there)[:, 0], tf.int32)
            centers = tf.gather(vectors, here)
            # Behaviours of a history follow each other.
            others = tf.gather(vectors, here + offset)
            negatives = tf.gather(drawn[number], here)
            loss += tf.reduce_sum(
                tf.nn.softplus(-tf.reduce_sum(centers * others, axis=1))
            )
            products = tf.einsum("nd,nqd->nq", centers, tf.gather(everyone, negatives))
            below = tf.nn.softplus(products)
            if self._config.mask_duplicates:
                ids = tf.gather(all_items, negatives)
                other = ids != tf.gather(items, here)[:, tf.newaxis]
                other &= ids != tf.gather(items, here + offset)[:, tf.newaxis]
                below = tf.where(other, below, 0.0)
            loss += tf.reduce_sum(below)
            pairs += tf.cast(tf.size(here), tf.float32)
        return tf.math.divide_no_nan(loss, global_sum(pairs))

    def _offsets(self) -> list[int]:
        window = self._config.window
        return [offset for offset in range(-window, window + 1) if offset]

    def _behaviours(
        self, sequence: EmbeddedSequence, batch: Batch
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns vectors [N, d], items, places in the history and its length, [N], of
        the behaviours of the own histories, one after another."""
        rows = own_histories(self._job, batch, self._sequence, sequence.mask)
        mask = tf.gather(sequence.mask, rows)
        found = tf.where(mask)
        values = tf.gather(sequence.values, rows)[:, :, : self._width]
        items = tf.gather(batch[sequence_key(self._sequence, self._field)], rows)
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)
        return (
            tf.tanh(self._vectors(tf.gather_nd(values, found))),
            tf.gather_nd(items, found),
            tf.cast(found[:, 1], tf.int32),
            tf.gather(lengths, found[:, 0]),
        )
