"""Adagrad on the rows of a batch; on those rows it equals PyTorch's dense Adagrad."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.rows import Rows
from trainer.optimizers.sparse import Moment, SparseOptimizer

__all__ = ["Adagrad"]


class Adagrad(SparseOptimizer):
    """For a touched row w with gradient g, and its accumulators a, element by element:

        a <- a + g ** 2
        w <- w - learning_rate * g / (sqrt(a) + epsilon)

    a starts at `initial_accumulator`. Source: Duchi et al. 2011. Epsilon stands beside
    the root, as in PyTorch and in the paper's diagonal form (delta + sqrt): under it,
    as in Keras, 1e-7 is a floor far above the squared gradients of a mean over
    thousands of rows. Rows without gradient stay as they are in the dense form too, so
    the sparse one is the same optimizer.
    """

    slots: ClassVar[tuple[str, ...]] = ("accumulator",)

    def _update_rows(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        rows: Rows,
        moment: Moment,
    ) -> None:
        (accumulator,) = slots
        total = tf.gather(accumulator, rows.ids) + self._squares(rows.gradients)
        accumulator.scatter_update(tf.IndexedSlices(total, rows.ids))
        factor = moment.rate / (tf.sqrt(total) + self.epsilon)
        change = rows.gradients * self._of_rows(factor)
        self._subtract(table, rows.ids, change, moment)

    def _squares(self, gradients: tf.Tensor) -> tf.Tensor:
        """Returns what is added to the accumulators."""
        return tf.square(gradients)

    def _of_rows(self, factor: tf.Tensor) -> tf.Tensor:
        """Returns the factors of the rows' elements."""
        return factor

    def _initial_slot(self, name: str, table: tf.Variable) -> tf.Tensor:
        return tf.fill(
            table.shape, tf.constant(self.options.initial_accumulator, tf.float32)
        )
