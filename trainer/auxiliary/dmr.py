"""DMR: the auxiliary match network of Deep Match to Rank (AAAI 2020).

Legend: n rows of a replica with a target, L behaviours, D their width, d width of the
vectors that are matched, k negatives.
"""

import keras
import tensorflow as tf

from configs.auxiliary import DMR as Config
from configs.job import Job
from configs.layout import layout_of, sequence_key
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.identity import Batch
from trainer.collectives import gather_all
from trainer.layers.attention import NEVER
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import dense
from trainer.layers.seeds import derived_seed

__all__ = ["DMR", "target_tables"]

# Where the slope of a PReLU starts, for negative numbers.
SLOPE = 0.25


class DMR(keras.layers.Layer):  # type: ignore[misc]
    """Lets all behaviours but the last one predict which item the last one is.

    Of a history of T behaviours e, those before the last one are averaged by weights
    that tell the near from the far:

        a_t = z . tanh(Wp p_t + We e_t + b),    u = PReLU(W sum_t softmax(a)_t e_t + c),

    t = 1 .. T-1, with p_t an embedding of the distance to the last one. With v the
    vector of the last behaviour's item, the loss is negative sampling:

        -(1/n) sum_i [ log sigmoid(u_i . v_i) + sum_j log sigmoid(-u_i . v_j) ]

    over all rows of the global batch with two behaviours or more; without any it is 0.
    v is a row of a table of the task's own (`targets: own`, as in the paper), found by
    the fingerprint modulo its rows, and trained by the optimizer of the tables; or the
    embedding of the sequence's first field. The j are `negatives` rows of the batch,
    drawn in each step for all i alike, as frequent as their items are in the batch;
    with `mask_duplicates` those that have i's item do not count for i.

    Over replicas the items of the targets (8 bytes a row), and with `targets: shared`
    their vectors, are gathered; each replica draws the same negatives for its own rows.

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of the initial weights and of the draws.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        name = "auxiliary_dmr"
        super().__init__(name=name)
        self._config = config
        self._sequence = config.sequence or next(iter(layout.sequences))
        sequence = layout_of(job).sequences[self._sequence]
        self._field = sequence.fields[0]
        widths = layout.sequences[self._sequence]
        width = widths.fields[self._field]
        self._places = self.add_weight(
            name="places",
            shape=(sequence.max_length - 1, config.position_dim),
            initializer=keras.initializers.GlorotUniform(
                derived_seed(seed, f"{name}_places")
            ),
        )
        inner = config.attention_width
        self._place, self._score = (
            dense(out, into, name=f"{name}_{part}", seed=seed, use_bias=False)
            for part, out, into in (
                ("place", inner, config.position_dim),
                ("score", 1, inner),
            )
        )
        self._behaviour, self._user = (
            dense(out, widths.total, name=f"{name}_{part}", seed=seed)
            for part, out in (("behaviour", inner), ("user", width))
        )
        self._slopes = self.add_weight(
            name="slopes",
            shape=(width,),
            initializer=keras.initializers.Constant(SLOPE),
        )
        self._draws = Draws(name=f"{name}_draws", seed=seed)
        self._table = self._own_table(job, seed)
        self.built = True

    @property
    def table_variables(self) -> list[keras.Variable]:
        """The own table: its gradient is `tf.IndexedSlices`."""
        return [] if self._table is None else [self._table]

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        sequence = groups.sequences[self._sequence]
        lengths = tf.reduce_sum(tf.cast(sequence.mask, tf.int32), axis=1)
        rows = tf.where(lengths > 1)[:, 0]
        last = tf.gather(lengths, rows) - 1
        users = self._users(tf.gather(sequence.values, rows), last)
        items = batch[sequence_key(self._sequence, self._field)]
        items = tf.gather(tf.gather(items, rows), last, batch_dims=1)
        vectors = tf.gather(sequence.fields[self._field], rows)
        vectors = tf.gather(vectors, last, batch_dims=1)
        own = self._table is not None
        gathered, _ = gather_all([items] if own else [items, vectors])
        count = tf.size(gathered[0])
        drawn = self._draws.integers([self._config.negatives], count)
        found = [_taken(values, drawn) for values in gathered]
        if self._table is None:
            negatives = found[1]
        else:
            vectors, negatives = self._look_up(self._table, items, found[0])
        loss = self._loss(users, vectors, negatives, items, found[0])
        return tf.math.divide_no_nan(loss, tf.cast(count, tf.float32))

    def _own_table(self, job: Job, seed: int) -> keras.Variable | None:
        for dim, rows in target_tables(job):
            return self.add_weight(
                name="targets",
                shape=(rows, dim),
                initializer=keras.initializers.RandomNormal(
                    stddev=job.training.embedding_initial_stddev,
                    seed=derived_seed(seed, "auxiliary_dmr_targets"),
                ),
            )
        return None

    def _users(self, values: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
        """Returns u [n, d] of behaviours [n, L, D], number `last` and on left out."""
        places = tf.range(tf.shape(values)[1])
        distances = tf.maximum(last[:, tf.newaxis] - 1 - places, 0)
        near = tf.gather(self._place(self._places.value), distances)
        scores = self._score(tf.tanh(near + self._behaviour(values)))[:, :, 0]
        before = places < last[:, tf.newaxis]
        weights = tf.nn.softmax(tf.where(before, scores, NEVER), axis=1)
        users = self._user(tf.einsum("nl,nld->nd", weights, values))
        return tf.where(users > 0.0, users, self._slopes.value * users)

    def _look_up(self, table: keras.Variable, *items: tf.Tensor) -> list[tf.Tensor]:
        """Returns the rows of items [n], [k] in the own table, in one gather."""
        rows = tf.math.floormod(tf.concat(items, axis=0), table.shape[0])
        sizes = tf.stack([tf.size(x) for x in items])
        vectors = tf.gather(table.value, rows)
        return list(tf.split(vectors, sizes, axis=0, num=len(items)))

    def _loss(
        self,
        users: tf.Tensor,
        vectors: tf.Tensor,
        negatives: tf.Tensor,
        items: tf.Tensor,
        others: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the sum over the own rows."""
        positive = tf.nn.softplus(-tf.reduce_sum(users * vectors, axis=1))
        negative = tf.nn.softplus(tf.matmul(users, negatives, transpose_b=True))
        if self._config.mask_duplicates:
            other = items[:, tf.newaxis] != others
            negative = tf.where(other, negative, 0.0)
        return tf.reduce_sum(positive) + tf.reduce_sum(negative)


def target_tables(job: Job) -> list[tuple[int, int]]:
    """Returns width and rows of the own table, of a job whose task has one."""
    found = []
    for config in job.model.auxiliary:
        if config.name == "dmr" and config.targets == "own":
            field = _first_field(config, job)
            rows = config.target_buckets or job.embedding_of(field).buckets or 0
            found.append((job.embedding_of(field).dim or 0, rows))
    return found


def _first_field(config: Config, job: Job) -> str:
    sequences = layout_of(job).sequences
    name = config.sequence or next(iter(sequences))
    return f"{name}.{sequences[name].fields[0]}"


def _taken(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Gathers rows; of an empty tensor as well, where row 0 is zeros."""
    padding = [[0, 1], *[[0, 0]] * (len(values.shape) - 1)]
    return tf.gather(tf.pad(values, padding), rows)
