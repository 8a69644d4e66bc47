"""Stochastic gradient descent on the rows of a batch."""

import tensorflow as tf

from trainer.optimizers.sparse import SparseOptimizer

__all__ = ["SGD"]


class SGD(SparseOptimizer):
    """For a touched row w with gradient g: w <- w - learning_rate * g."""

    def _change(
        self,
        slots: tuple[tf.Variable, ...],
        ids: tf.Tensor,
        gradients: tf.Tensor,
        step: tf.Tensor,
    ) -> tf.Tensor:
        return gradients
