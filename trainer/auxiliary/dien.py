"""The auxiliary loss of DIEN (Zhou et al. 2019, equations 6 and 7).

Legend: B batch, L behaviours, H width of a state, T predictions, d width of a
behaviour's categorical fields.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf

from configs.backbones import DeepInterestEvolution as Config
from configs.job import Job
from configs.layout import layout_of, sequence_key
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.identity import Batch
from trainer.backbones.dien import DeepInterestEvolution
from trainer.collectives import gather_all
from trainer.layers.groups import EmbeddedGroups, EmbeddedSequence, GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["NextBehaviour"]


class NextBehaviour(keras.layers.Layer):  # type: ignore[misc]
    """Lets the state after k behaviours tell behaviour k + 1 from another one.

    With h the state, e+ the next behaviour, e- one drawn from all that follow another
    in the batch, and z an MLP over a state and a behaviour side by side:

        (1/T) sum over all T states before a behaviour of
            softplus(-z(h, e+)) + softplus(z(h, e-))

    summed over the sequences. z and the mean over T are those of the published code;
    the paper has the sum over k. Where the draw gives the same item, its term is left
    out. Without predictions the loss is 0. The batch is that of all replicas: what
    follows is gathered, and each replica predicts in its own rows.

    Args:
        config: of the backbone.
        job: the job.
        layout: of the embedded groups.
        backbone: the one that gives the states.
        seed: of the initial weights, and of the draws.
    """

    def __init__(
        self,
        config: Config,
        job: Job,
        layout: GroupsLayout,
        backbone: DeepInterestEvolution,
        *,
        seed: int,
    ) -> None:
        super().__init__(name="auxiliary_dien")
        self._widths = {n: layout.sequences[n].categorical for n in backbone.interests}
        sequences = layout_of(job).sequences
        self._ids = {
            name: sequence_key(name, sequences[name].fields[0]) for name in self._widths
        }
        self._nets = {
            name: MLP(
                config.units + width,
                [*config.auxiliary_hidden, 1],
                name=f"auxiliary_dien_{name}",
                seed=seed,
                linear_output=True,
            )
            for name, width in self._widths.items()
        }
        self._draws = Draws(name="auxiliary_dien_draws", seed=seed)
        self.built = True

    def call(
        self, groups: EmbeddedGroups, batch: Batch, states: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar.

        Args:
            groups: the embedded groups.
            batch: their rows.
            states: of the extractor by sequence, float32 [B, L, H].
        """
        loss = tf.constant(0.0)
        for name, ids in self._ids.items():
            loss += self._loss(name, groups.sequences[name], batch[ids], states[name])
        return loss

    def _loss(
        self, name: str, sequence: EmbeddedSequence, ids: tf.Tensor, states: tf.Tensor
    ) -> tf.Tensor:
        places = tf.where(sequence.mask[:, 1:])
        following = sequence.values[:, 1:, : self._widths[name]]
        before = tf.gather_nd(states[:, :-1], places)
        (behaviours, ids), share = gather_all(
            [tf.gather_nd(following, places), tf.gather_nd(ids[:, 1:], places)]
        )
        count = tf.size(ids)
        # Any but the own one. The draws are for all rows, so they are as on one device.
        steps = 1 + share.of(self._draws.integers([count], count - 1))
        others = (tf.range(share.start, share.stop) + steps) % tf.maximum(count, 1)
        differs = tf.cast(share.of(ids) != tf.gather(ids, others), tf.float32)
        right = self._logits(name, before, share.of(behaviours))
        wrong = self._logits(name, before, tf.gather(behaviours, others))
        losses = tf.nn.softplus(-right) + differs * tf.nn.softplus(wrong)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(count, tf.float32))

    def _logits(self, name: str, states: tf.Tensor, behaviours: tf.Tensor) -> tf.Tensor:
        """Returns z, float32 [T], of [T, H] and [T, d]."""
        return self._nets[name](tf.concat([states, behaviours], axis=1))[:, 0]
