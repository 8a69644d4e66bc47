"""Lazy Adam: Adam on the rows of a batch, all other moments standing still."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.rows import Rows
from trainer.optimizers.sparse import Moment, SparseOptimizer

__all__ = ["BETA1", "BETA2", "LazyAdam"]

BETA1 = 0.9
"""Decay of m, as in the paper."""
BETA2 = 0.999
"""Decay of v, as in the paper."""


class LazyAdam(SparseOptimizer):
    """For a touched row w with gradient g in step t, and its moments m and v:

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g ** 2
        w <- w - learning_rate * sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
                 * m / (sqrt(v) + epsilon)

    Source: Kingma & Ba 2015, end of section 2. It is not Adam: the moments of a row
    decay only in the steps that touch it, while t counts all steps. m and v are two
    variables, because their rows are then read and written by two threads; one
    variable of twice the width was no faster.
    """

    slots: ClassVar[tuple[str, ...]] = ("momentum", "velocity")

    def _update_rows(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        rows: Rows,
        moment: Moment,
    ) -> None:
        momentum, velocity = slots
        ids, gradients = rows
        m, v = tf.gather(momentum, ids), tf.gather(velocity, ids)
        m += (1.0 - BETA1) * (gradients - m)
        v += (1.0 - BETA2) * (tf.square(gradients) - v)
        momentum.scatter_update(tf.IndexedSlices(m, ids))
        velocity.scatter_update(tf.IndexedSlices(v, ids))
        correction = tf.sqrt(1.0 - BETA2**moment.step) / (1.0 - BETA1**moment.step)
        change = (moment.rate * correction) * m / (tf.sqrt(v) + self.epsilon)
        self._subtract(table, ids, change, moment)
