"""Row-wise Adagrad: one accumulator for each row instead of one for each weight."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.sparse import SparseOptimizer

__all__ = ["RowwiseAdagrad"]


class RowwiseAdagrad(SparseOptimizer):
    """For a touched row w of width d with gradient g, and its accumulator a:

        a <- a + sum(g ** 2) / d
        w <- w - learning_rate * g / sqrt(a + epsilon)

    Source: Mudigere et al. 2021 (arXiv 2104.05158), section 4.1; epsilon stands inside
    the root, as in Keras' Adagrad.

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
        squares = tf.reduce_mean(tf.square(gradients), axis=1)
        accumulator.scatter_add(tf.IndexedSlices(squares, ids))
        total = tf.gather(accumulator, ids)
        return gradients * tf.math.rsqrt(total + self.epsilon)[:, tf.newaxis]

    def _initial_slot(self, name: str, shape: tf.TensorShape) -> tf.Tensor:
        return tf.fill(shape[:1], tf.constant(self.initial_accumulator, tf.float32))
