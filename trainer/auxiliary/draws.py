"""Random numbers of auxiliary tasks: the same on all replicas, and resumable."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.layers.seeds import derived_seed

__all__ = ["Draws"]


class Draws(keras.layers.Layer):  # type: ignore[misc]
    """Draws numbers that depend on the job's seed and the number of the step alone.

    The state is a variable (two integers), which a checkpoint holds as it holds the
    weights, so a resumed run draws what a run without a break would have drawn. It is
    the same on all replicas. So whoever draws for the rows of the global batch, and
    takes those of the own rows, gets what one device gets.

    Args:
        name: of the layer; streams of different names are independent.
        seed: of the job.
    """

    def __init__(self, *, name: str, seed: int) -> None:
        super().__init__(name=name)
        # Keras counts up the names of its seed generators; checkpoints go by name.
        self._seeds = keras.random.SeedGenerator(
            derived_seed(seed, name), name=f"{name}_seeds"
        )
        self.built = True

    def integers(self, shape: Sequence[Any], below: tf.Tensor) -> tf.Tensor:
        """Returns int32 of `shape`, uniform in [0, below); 0 if `below` is 0."""
        return tf.random.stateless_uniform(
            shape, self._next(), 0, tf.maximum(below, 1), tf.int32
        )

    def fractions(self, shape: Sequence[Any]) -> tf.Tensor:
        """Returns float32 of `shape`, uniform in [0, 1)."""
        return tf.random.stateless_uniform(shape, self._next())

    def _next(self) -> tf.Tensor:
        seed = tf.math.floormod(tf.cast(self._seeds.next(), tf.int64), 2**31 - 2)
        return tf.cast(seed, tf.int32)
