"""Row-wise Adagrad: one accumulator for each row instead of one for each weight."""

import tensorflow as tf

from trainer.optimizers.adagrad import Adagrad

__all__ = ["RowwiseAdagrad"]


class RowwiseAdagrad(Adagrad):
    """For a touched row w of width d with gradient g, and its accumulator a:

        a <- a + sum(g ** 2) / d
        w <- w - learning_rate * g / (sqrt(a) + epsilon)

    Source: Mudigere et al. 2021 (arXiv 2104.05158), section 4.1.
    """

    def _squares(self, gradients: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(gradients), axis=1)

    def _of_rows(self, factor: tf.Tensor) -> tf.Tensor:
        return factor[:, tf.newaxis]

    def _initial_slot(self, name: str, table: tf.Variable) -> tf.Tensor:
        return super()._initial_slot(name, table)[:, 0]
