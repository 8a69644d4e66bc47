"""A gated recurrent unit over behaviour sequences, with or without attention.

Legend: B batch, L behaviours, D width of a behaviour, H width of a state.
"""

import keras
import tensorflow as tf

from trainer.layers.seeds import derived_seed

__all__ = ["GatedRecurrence"]


class GatedRecurrence(keras.layers.Layer):  # type: ignore[misc]
    """GRU, and with attention AUGRU (Zhou et al. 2019, equations 2 to 5 and 13 to 15).

        u, r = sigmoid(x_t W_ur + h U_ur + b_ur)
        c = tanh(x_t W_c + r * (h U_c) + b_c)
        h_t = h + s_t u * (c - h), starting from h = 0

    s_t is 1 in a GRU and the attention of behaviour t in an AUGRU. Where it is 0 the
    state stays as it is: so padding is passed over. The recurrence is float32 whatever
    the `precision`, for its rounding errors would add up; what is known of all
    behaviours beforehand, x W + b, is one product.

    Args:
        input_width: D.
        width: H.
        every_state: whether to return the states after all behaviours, or the last one.
    """

    def __init__(
        self,
        input_width: int,
        width: int,
        *,
        every_state: bool,
        name: str,
        seed: int,
    ) -> None:
        super().__init__(name=name)
        self._width = width
        self._every_state = every_state
        self._kernel = self.add_weight(
            name="kernel",
            shape=(input_width, 3 * width),
            initializer=keras.initializers.GlorotUniform(
                derived_seed(seed, f"{name}_kernel")
            ),
        )
        self._recurrent = self.add_weight(
            name="recurrent",
            shape=(width, 3 * width),
            initializer=keras.initializers.Orthogonal(
                seed=derived_seed(seed, f"{name}_recurrent")
            ),
        )
        self._bias = self.add_weight(
            name="bias", shape=(3 * width,), initializer="zeros"
        )
        self.built = True

    def call(self, values: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
        """Goes through the behaviours.

        Args:
            values: x, float32 [B, L, D].
            scales: s, float32 [B, L]; 0 where there is no behaviour.

        Returns:
            float32 [B, L, H], or of the last state [B, H]: 0 without any behaviour.
        """
        steps, start = self._prepared(values, scales)
        if self._every_state:
            return tf.transpose(tf.scan(self._step, steps, start), (1, 0, 2))
        return tf.foldl(self._step, steps, start)

    def _prepared(
        self, values: tf.Tensor, scales: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
        """Returns x W + b [L, B, 3 H] and s [L, B, 1], and the first state [B, H]."""
        projected = tf.einsum("bld,dh->lbh", values, self._kernel.value)
        projected = tf.cast(projected + self._bias.value, tf.float32)
        scales = tf.cast(tf.transpose(scales), tf.float32)[:, :, tf.newaxis]
        start = tf.zeros((tf.shape(values)[0], self._width), tf.float32)
        return (projected, scales), start

    def _step(self, state: tf.Tensor, step: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        projected, scale = step
        recurrent = tf.cast(self._recurrent.value, tf.float32)
        # Split, not sliced: a slice's gradient is padded and added.
        widths = [2 * self._width, self._width]
        gates, candidate = tf.split(projected, widths, axis=1)
        own_gates, own_candidate = tf.split(tf.matmul(state, recurrent), widths, axis=1)
        update, reset = tf.split(tf.sigmoid(gates + own_gates), 2, axis=1)
        candidate = tf.tanh(candidate + reset * own_candidate)
        return state + scale * update * (candidate - state)
