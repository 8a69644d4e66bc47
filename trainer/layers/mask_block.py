"""MaskNet's parts: normalized fields, and a layer whose input is masked.

Legend: B batch, F fields, d their width, D the width of all embeddings.
"""

import keras
import tensorflow as tf

from trainer.layers.mlp import MLP, Dropout, dense

__all__ = ["FieldNormalization", "MaskBlock"]

_EPSILON = 1e-5
"""Added to variances, as in FuxiCTR: fresh embeddings are small."""


class FieldNormalization(keras.layers.Layer):  # type: ignore[misc]
    """A layer normalization of each field, with a scale and an offset of its own.

    Args:
        count: F.
        width: d.
    """

    def __init__(self, count: int, width: int, *, name: str) -> None:
        super().__init__(name=name)
        self._normalize = keras.layers.LayerNormalization(
            epsilon=_EPSILON, center=False, scale=False, name=f"{name}_fields"
        )
        self._normalize.build((None, count, width))
        shape = (count, width)
        self._scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        self._offset = self.add_weight(name="offset", shape=shape, initializer="zeros")
        self.built = True

    def call(self, fields: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, F, d] to the same shape."""
        return self._normalize(fields) * self._scale.value + self._offset.value


class MaskBlock(keras.layers.Layer):  # type: ignore[misc]
    """ReLU(norm(W (mask(embeddings) * x))), the mask being an MLP with one hidden layer
    (Wang et al. 2021, arXiv:2102.07619).

    Args:
        embeddings: D.
        input_width: of x.
        width: of the output.
        reduction: width of the mask's hidden layer by that of x.
    """

    def __init__(
        self,
        embeddings: int,
        input_width: int,
        width: int,
        *,
        reduction: float,
        dropout: float,
        name: str,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._mask = MLP(
            embeddings,
            [max(int(reduction * input_width), 1), input_width],
            name=f"{name}_mask",
            seed=seed,
            linear_output=True,
        )
        self._dense = dense(
            width, input_width, name=f"{name}_dense", seed=seed, use_bias=False
        )
        self._normalize = keras.layers.LayerNormalization(
            epsilon=_EPSILON, name=f"{name}_norm"
        )
        self._normalize.build((None, width))
        self._dropout = Dropout(dropout, name=f"{name}_dropout", seed=seed)
        self.built = True

    def call(
        self, embeddings: tf.Tensor, inputs: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Maps float32 [B, D] and [B, input_width] to [B, width]."""
        masked = self._mask(embeddings) * inputs
        hidden = tf.nn.relu(self._normalize(self._dense(masked)))
        return self._dropout(hidden, training=training)
