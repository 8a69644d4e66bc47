"""Adam on all rows of the tables, as Keras does it: slow, to compare with."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.lazy_adam import BETA1, BETA2
from trainer.optimizers.rows import Rows
from trainer.optimizers.sparse import Moment, SparseOptimizer

__all__ = ["Adam"]


class Adam(SparseOptimizer):
    """The formula of `LazyAdam` on every row of a table, its gradient being zero where
    the batch does not touch it.

    The gradient is made dense and every row moves at every step, so cost and memory
    grow with the tables. `l2` and `weight_decay` act on the touched rows all the same.
    """

    slots: ClassVar[tuple[str, ...]] = ("momentum", "velocity")

    def _update_rows(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        rows: Rows,
        moment: Moment,
    ) -> None:
        if self.options.weight_decay:
            # Nothing but the decay: the rows' change follows, with all others'.
            self._subtract(table, rows.ids, tf.zeros_like(rows.gradients), moment)
        momentum, velocity = slots
        tf.raw_ops.ResourceApplyAdam(
            var=table.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(BETA1, moment.step),
            beta2_power=tf.pow(BETA2, moment.step),
            lr=moment.rate,
            beta1=BETA1,
            beta2=BETA2,
            epsilon=self.epsilon,
            grad=tf.math.unsorted_segment_sum(rows.gradients, rows.ids, table.shape[0]),
        )
