"""A transformer encoder over the features of a row.

Legend: B rows, F features, d width of an embedding.
"""

import keras
import tensorflow as tf

from trainer.layers.attention import SelfAttention
from trainer.layers.mlp import dense

__all__ = ["Encoder"]

# As in the published code of CL4CTR; below it a variance is rounding.
EPSILON = 1e-5


class Encoder(keras.layers.Layer):  # type: ignore[misc]
    """Layers of x = norm(x + attention(x)), then x = norm(x + W2 relu(W1 x)).

    Attention has one head; every feature sees all.

    Args:
        width: d.
        count: of the layers.
        inner: width of W1 x.
    """

    def __init__(
        self, width: int, count: int, inner: int, *, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self._layers_of_encoder = [
            (
                SelfAttention(
                    width, width, causal=False, name=f"{name}_{k}", seed=seed
                ),
                _normalization(width, f"{name}_{k}_attended"),
                dense(
                    inner,
                    width,
                    name=f"{name}_{k}_inner",
                    seed=seed,
                    activation="relu",
                ),
                dense(width, inner, name=f"{name}_{k}_outer", seed=seed),
                _normalization(width, f"{name}_{k}_normal"),
            )
            for k in range(count)
        ]
        self.built = True

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, F, d] to the same shape."""
        everyone = tf.ones(tf.shape(values)[:2], tf.bool)
        for attend, first, inner, outer, second in self._layers_of_encoder:
            values = first(values + attend(values, everyone))
            values = second(values + outer(inner(values)))
        return values


def _normalization(width: int, name: str) -> keras.layers.Layer:
    layer = keras.layers.LayerNormalization(epsilon=EPSILON, name=name)
    layer.build((None, None, width))
    return layer
