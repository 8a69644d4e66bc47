"""The contrastive loss of DBPMaN (Dong et al. 2023).

Legend: B batch, L behaviours, U distinct histories, P paths, D width of a behaviour.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf

from configs.backbones import PathMatching as Config
from configs.job import Job
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.identity import Batch, own_histories
from trainer.backbones.dbpman import PathMatching
from trainer.collectives import gather_all
from trainer.layers.groups import EmbeddedGroups, EmbeddedSequence, GroupsLayout
from trainer.layers.meeting import shared_fields
from trainer.similarity import Meetings, log_sums, unit_vectors

__all__ = ["PathContrast"]


class PathContrast(keras.layers.Layer):  # type: ignore[misc]
    """Lets two views of a history find each other.

    A view does not see a share of the items, drawn at random: the first field of these
    behaviours is zero. With p_k, q_k the vectors of the past paths in the two views:

        -(1/U) sum_i log( exp(s(i, i)) / sum_j exp(s(i, j)) ),
        s(i, j) = sum_k cos(p_ik, q_jk)

    summed over the sequences. i and j run over the distinct histories with a path. (The
    published code has the cosines of the behaviours of all paths instead.) Without
    histories the loss is 0. The batch is that of all replicas: the second views are
    gathered, and each replica asks for the histories whose first row is its own.

    Args:
        config: of the backbone.
        job: the job.
        layout: of the embedded groups.
        backbone: the one whose paths are compared.
        seed: of the draws.
    """

    def __init__(
        self,
        config: Config,
        job: Job,
        layout: GroupsLayout,
        backbone: PathMatching,
        *,
        seed: int,
    ) -> None:
        super().__init__(name="auxiliary_dbpman")
        self._job = job
        self._layout = layout
        self._rate = config.item_dropout
        # Methods and no layers: the weights are those of the backbone.
        self._past = {name: unit.past for name, unit in backbone.interests.items()}
        self._counts = {
            name: unit.windows.count for name, unit in backbone.interests.items()
        }
        self._draws = Draws(name="auxiliary_dbpman_draws", seed=seed)
        self.built = True

    def call(
        self, groups: EmbeddedGroups, batch: Batch, states: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar.

        Args:
            groups: the embedded groups.
            batch: their rows.
            states: not used.
        """
        del states
        loss = tf.constant(0.0)
        for name in self._past:
            loss += self._loss(name, groups.sequences[name], batch)
        return loss

    def _loss(self, name: str, sequence: EmbeddedSequence, batch: Batch) -> tf.Tensor:
        rows = own_histories(self._job, batch, name, sequence.mask)
        sequence = tf.nest.map_structure(lambda x: tf.gather(x, rows), sequence)
        (everyone,), share = gather_all([rows])
        shape = [2, tf.size(everyone), tf.shape(sequence.mask)[1]]
        # The draws are for all histories, so they are as on one device.
        seen = self._draws.fractions(shape)[:, share.start : share.stop] >= self._rate
        anchors, own = (self._view(name, sequence, seen[k]) for k in range(2))
        (others,), share = gather_all([own])
        paths = float(self._counts[name])
        logs = log_sums(
            anchors,
            others,
            Meetings(tf.range(share.start, share.stop), keeps_own=True),
            factors=tf.ones_like(anchors[:, 0]),
            weights=tf.ones_like(others[:, 0]),
            temperature=1.0 / paths,
        )
        likeness = paths * tf.reduce_sum(anchors * own, axis=1)
        count = tf.cast(tf.size(everyone), tf.float32)
        return tf.math.divide_no_nan(tf.reduce_sum(logs - likeness), count)

    def _view(
        self, name: str, sequence: EmbeddedSequence, seen: tf.Tensor
    ) -> tf.Tensor:
        """Returns the unit vectors of the paths side by side, over the root of P.

        Args:
            name: of the sequence.
            sequence: of the histories.
            seen: which items of it are seen, bool [U, L].

        Returns:
            float32 [U, P D].
        """
        widths = self._layout.sequences[name]
        item = next(iter(widths.fields))
        kept = tf.cast(seen, tf.float32)[:, :, tf.newaxis]
        items = sequence.fields[item] * kept
        rest = sequence.values[:, :, widths.fields[item] :]
        part = EmbeddedSequence(
            values=tf.concat([items, rest], axis=-1),
            mask=sequence.mask,
            fields={**sequence.fields, item: items},
        )
        paths = self._past[name](
            part, shared_fields(part, widths), shared_fields(sequence, widths)
        )
        count = self._counts[name]
        vectors = unit_vectors(paths.vectors) * float(count) ** -0.5
        return tf.reshape(vectors, (-1, count * widths.total))
