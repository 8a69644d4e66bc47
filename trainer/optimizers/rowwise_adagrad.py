"""Row-wise Adagrad: one accumulator for each row instead of one for each weight."""

import tensorflow as tf

from trainer.optimizers.adagrad import Adagrad

__all__ = ["RowwiseAdagrad"]


class RowwiseAdagrad(Adagrad):
    """For a touched row w of width d with gradient g, and its accumulator a:

        a <- a + sum(g ** 2) / d
        w <- w - learning_rate * g / sqrt(a + epsilon)

    Source: Mudigere et al. 2021 (arXiv 2104.05158), section 4.1; epsilon stands inside
    the root, as in Keras' Adagrad. Arguments: see `Adagrad`.
    """

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
        return super()._initial_slot(name, shape[:1])
