"""Attention over behaviour sequences: self-attention and target attention.

Legend: B batch, L positions, D width. Masks are bool and tell what is there.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from trainer.layers.mlp import MLP, dense

__all__ = ["SelfAttention", "TargetAttention", "masked_softmax"]

# exp of it is 0 in float32, and it survives a subtraction of the maximum.
NEVER = -1e9


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the softmax over the last axis where `mask`, 0 elsewhere; float32.

    Args:
        scores: [..., L], of any floating-point type.
        mask: bool [..., L]; may be False throughout.
    """
    scores = tf.where(mask, tf.cast(scores, tf.float32), NEVER)
    return tf.where(mask, tf.nn.softmax(scores, axis=-1), 0.0)


class SelfAttention(keras.layers.Layer):  # type: ignore[misc]
    """Single-head attention, softmax(X Wq (X Wk)^T / sqrt(d)) X Wv (AT4CTR, eq. 2).

    Padded positions are no keys, and their outputs are zero. A position without any
    key (an empty sequence) gives zeros.

    Args:
        input_width: D of the input.
        width: D of the output, and d.
        causal: whether position k sees the positions up to k only.
    """

    def __init__(
        self, input_width: int, width: int, *, causal: bool, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self._causal = causal
        self._scale = float(width) ** -0.5
        self._query, self._key, self._value = (
            dense(width, input_width, name=f"{name}_{part}", seed=seed, use_bias=False)
            for part in ("query", "key", "value")
        )
        self.built = True

    def call(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Attends.

        Args:
            values: float32 [B, L, input_width].
            mask: bool [B, L].

        Returns:
            float32 [B, L, width].
        """
        query = self._query(values) * self._scale
        scores = tf.matmul(query, self._key(values), transpose_b=True)
        visible = mask[:, tf.newaxis, :]
        if self._causal:
            places = tf.range(tf.shape(values)[1])
            visible = visible & (places[tf.newaxis, :] <= places[:, tf.newaxis])
        weights = tf.nn.softmax(tf.where(visible, scores, NEVER), axis=-1)
        attended = tf.matmul(weights, self._value(values))
        return tf.where(mask[:, :, tf.newaxis], attended, 0.0)


class TargetAttention(keras.layers.Layer):  # type: ignore[misc]
    """The activation unit of DIN: how much each behaviour matters to a target.

    The weight of behaviour h for target t is an MLP over [h, t, h - t, h * t]; as in
    DIN (Zhou et al. 2018, section 4.3) weights are not normalized over the sequence,
    so their sum tells how strong the interest is. Padded behaviours weigh 0.

    Args:
        width: D of behaviours and target.
        hidden: widths of the MLP's hidden layers.
    """

    def __init__(
        self, width: int, hidden: Sequence[int], *, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        # The first layer is linear in each part, so it is applied to behaviours and
        # target apart and summed: [B, L, 4 D] is never made.
        first = int(hidden[0])
        self._behaviour = dense(first, width, name=f"{name}_behaviour", seed=seed)
        self._target = dense(
            first, width, name=f"{name}_target", seed=seed, use_bias=False
        )
        self._product = dense(
            first, width, name=f"{name}_product", seed=seed, use_bias=False
        )
        self._mlp = MLP(
            first, [*hidden[1:], 1], name=f"{name}_mlp", seed=seed, linear_output=True
        )
        self.built = True

    def call(
        self, behaviours: tf.Tensor, target: tf.Tensor, mask: tf.Tensor
    ) -> tf.Tensor:
        """Weighs behaviours.

        Args:
            behaviours: float32 [B, L, width].
            target: float32 [B, width].
            mask: bool [B, L].

        Returns:
            float32 [B, L].
        """
        # W1 h + W2 t + W3 (h - t) + W4 h*t is (W1 + W3) h + (W2 - W3) t + W4 h*t: the
        # difference adds no freedom, so two of the matrices are trained.
        target_part = self._target(target)[:, tf.newaxis, :]
        product = self._product(behaviours * target[:, tf.newaxis, :])
        hidden = tf.nn.relu(self._behaviour(behaviours) + target_part + product)
        weights = self._mlp(hidden)[:, :, 0]
        return tf.where(mask, weights, 0.0)
