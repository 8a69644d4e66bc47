"""FTRL-Proximal on the rows of a batch: Adagrad that can set weights to exactly 0."""

from typing import ClassVar

import tensorflow as tf

from trainer.optimizers.rows import Rows
from trainer.optimizers.sparse import Moment, SparseOptimizer

__all__ = ["Ftrl"]


class Ftrl(SparseOptimizer):
    """For a touched row w with gradient g, element by element, with its accumulator n
    and its linear term z, and s(n) = sqrt(n) + epsilon:

        z <- z + learning_rate * g - (s(n + g ** 2) - s(n)) * w
        n <- n + g ** 2
        w <- -sign(z) * max(|z| - learning_rate * l1, 0) / s(n)

    Source: McMahan et al. 2013, algorithm 1, with beta = epsilon, and z multiplied by
    the learning rate: under a constant rate that is the same, and under a schedule a
    new rate then scales new gradients only, where the original form rescales the
    weights themselves. n starts at `initial_accumulator`, and z at -w * s(n), so that
    the initial weights are where they would be had FTRL led there; it could not train
    embeddings that it sets to 0 at their first gradient. Without l1 it equals Adagrad.
    """

    slots: ClassVar[tuple[str, ...]] = ("accumulator", "linear")

    def _update_rows(
        self,
        table: tf.Variable,
        slots: tuple[tf.Variable, ...],
        rows: Rows,
        moment: Moment,
    ) -> None:
        accumulator, linear = slots
        ids, gradients = rows
        n, z = tf.gather(accumulator, ids), tf.gather(linear, ids)
        weights = tf.gather(table, ids)
        total = n + tf.square(gradients)
        root = tf.sqrt(total)
        z += moment.rate * gradients - (root - tf.sqrt(n)) * weights
        accumulator.scatter_update(tf.IndexedSlices(total, ids))
        linear.scatter_update(tf.IndexedSlices(z, ids))
        kept = z
        if self.options.l1:
            threshold = moment.rate * self.options.l1
            kept = tf.sign(z) * tf.maximum(tf.abs(z) - threshold, 0.0)
        change = weights + kept / (root + self.epsilon)
        self._subtract(table, ids, change, moment)

    def _initial_slot(self, name: str, table: tf.Variable) -> tf.Tensor:
        start = tf.constant(self.options.initial_accumulator, tf.float32)
        if name == "accumulator":
            return tf.fill(table.shape, start)
        return -tf.convert_to_tensor(table) * (tf.sqrt(start) + self.epsilon)
