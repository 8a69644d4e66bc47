"""Stochastic gradient descent on the rows of a batch."""

import tensorflow as tf

from trainer.optimizers.rows import Rows
from trainer.optimizers.sparse import Moment, SparseOptimizer

__all__ = ["SGD"]


class SGD(SparseOptimizer):
    """For a touched row w with gradient g: w <- w - learning_rate * g."""

    def _update_rows(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        rows: Rows,
        moment: Moment,
    ) -> None:
        self._subtract(table, rows.ids, moment.rate * rows.gradients, moment)
