"""Behaviour paths: windows of a sequence, and what matters in them.

Legend: N paths, W behaviours of a path, D their width.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from trainer.layers.attention import masked_softmax
from trainer.layers.mlp import dense

__all__ = ["PathRouter", "Windows"]


@dataclass(frozen=True)
class Windows:
    """Paths among the last behaviours, and the behaviour that follows each of them.

    The most recent path is followed by the last behaviour, the one before it by the
    behaviour `stride` before, and so on.

    Attributes:
        length: W.
        stride: behaviours between the beginnings of two paths.
        count: of the paths.
    """

    length: int
    stride: int
    count: int

    @classmethod
    def within(
        cls, max_length: int, *, length: int, stride: int, most: int
    ) -> "Windows":
        """Returns at most `most` paths, and no more than have a behaviour in sequences
        of `max_length`; one at least."""
        fitting = (max_length - 2) // stride + 1
        return cls(length, stride, max(1, min(most, fitting)))

    @property
    def slots(self) -> int:
        """Number of behaviours that all paths and what follows them span."""
        return self.length + self.stride * (self.count - 1) + 1

    def paths(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [B, count, W, ...] of `values` [B, slots, ...], which end with the
        last behaviour; the most recent path comes first."""
        return tf.gather(
            values, self._following()[:, np.newaxis] + self._back(), axis=1
        )

    def following(self, values: tf.Tensor) -> tf.Tensor:
        """Returns what follows each path, [B, count, ...]."""
        return tf.gather(values, self._following(), axis=1)

    def current(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the last W behaviours, [B, W, ...]."""
        return values[:, self.slots - self.length :]

    def _following(self) -> np.ndarray[tuple[int], np.dtype[np.int_]]:
        return self.slots - 1 - self.stride * np.arange(self.count)

    def _back(self) -> np.ndarray[tuple[int], np.dtype[np.int_]]:
        return np.arange(-self.length, 0)


class PathRouter(keras.layers.Layer):  # type: ignore[misc]
    """Keeps the behaviours of a path that say most, and sums them up.

    An MLP with one hidden layer looks at the whole path; its softmax over the places of
    the path weighs the behaviours, all but the `kept` largest weights being 0.

    Args:
        length: W.
        width: D.
        hidden: width of the hidden layer.
        kept: behaviours that count, at most.
    """

    def __init__(
        self, length: int, width: int, *, hidden: int, kept: int, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self._flat = length * width
        self._kept = min(kept, length)
        self._hidden = dense(
            hidden, self._flat, name=f"{name}_hidden", seed=seed, activation="relu"
        )
        self._places = dense(length, hidden, name=f"{name}_places", seed=seed)
        self.built = True

    def call(self, path: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Sums up paths.

        Args:
            path: float32 [N, W, D], zeros where there is no behaviour.
            mask: bool [N, W].

        Returns:
            float32 [N, D].
        """
        scores = self._places(self._hidden(tf.reshape(path, (-1, self._flat))))
        weights = masked_softmax(scores, mask)
        largest, _ = tf.math.top_k(weights, self._kept)
        weights = tf.where(weights >= largest[:, -1:], weights, 0.0)
        return tf.einsum("nw,nwd->nd", tf.cast(weights, path.dtype), path)
