"""Adagrad on the rows of a batch; on those rows it equals Keras' dense Adagrad."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.sparse import SparseOptimizer

__all__ = ["Adagrad"]


class Adagrad(SparseOptimizer):
    """For a touched row w with gradient g, and its accumulators a, element by element:

        a <- a + g ** 2
        w <- w - learning_rate * g / sqrt(a + epsilon)

    Source: Duchi et al. 2011, as in Keras. Rows without gradient stay as they are in
    the dense form too, so the sparse one is the same optimizer.

    Args:
        learning_rate: multiplied with the `scale` of each step.
        initial_accumulator: a starts here.
        epsilon: keeps the root away from zero.
        l2: see `SparseOptimizer`.
    """

    slots: ClassVar[tuple[str, ...]] = ("accumulator",)

    def __init__(
        self,
        *,
        learning_rate: float,
        initial_accumulator: float = 0.1,
        epsilon: float = 1e-7,
        l2: float = 0.0,
    ) -> None:
        super().__init__(learning_rate=learning_rate, l2=l2)
        self.initial_accumulator = initial_accumulator
        self.epsilon = epsilon

    def _change(
        self,
        slots: tuple[tf.Variable, ...],
        ids: tf.Tensor,
        gradients: tf.Tensor,
        step: tf.Tensor,
    ) -> tf.Tensor:
        (accumulator,) = slots
        accumulator.scatter_add(tf.IndexedSlices(tf.square(gradients), ids))
        return gradients * tf.math.rsqrt(tf.gather(accumulator, ids) + self.epsilon)

    def _initial_slot(self, name: str, shape: tf.TensorShape) -> tf.Tensor:
        return tf.fill(shape, tf.constant(self.initial_accumulator, tf.float32))
