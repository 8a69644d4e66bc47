"""Lazy Adam: Adam on the rows of a batch, all other moments standing still."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.sparse import SparseOptimizer

__all__ = ["LazyAdam"]


class LazyAdam(SparseOptimizer):
    """For a touched row w with gradient g in step t, and its moments m and v:

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g ** 2
        w <- w - learning_rate * sqrt(1 - beta2 ** t) / (1 - beta1 ** t)
                 * m / (sqrt(v) + epsilon)

    Source: Kingma & Ba 2015, end of section 2. It is not Adam: the moments of a row
    decay only in the steps that touch it, while t counts all steps.

    Args:
        learning_rate: multiplied with the `scale` of each step.
        beta1: decay of m.
        beta2: decay of v.
        epsilon: keeps the root away from zero.
        l2: see `SparseOptimizer`.
    """

    slots: ClassVar[tuple[str, ...]] = ("momentum", "velocity")

    def __init__(
        self,
        *,
        learning_rate: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
        l2: float = 0.0,
    ) -> None:
        super().__init__(learning_rate=learning_rate, l2=l2)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon

    def _change(
        self,
        slots: tuple[tf.Variable, ...],
        ids: tf.Tensor,
        gradients: tf.Tensor,
        step: tf.Tensor,
    ) -> tf.Tensor:
        momentum, velocity = slots
        m, v = tf.gather(momentum, ids), tf.gather(velocity, ids)
        m += (1.0 - self.beta1) * (gradients - m)
        v += (1.0 - self.beta2) * (tf.square(gradients) - v)
        momentum.scatter_update(tf.IndexedSlices(m, ids))
        velocity.scatter_update(tf.IndexedSlices(v, ids))
        correction = tf.sqrt(1.0 - self.beta2**step) / (1.0 - self.beta1**step)
        return correction * m / (tf.sqrt(v) + self.epsilon)
