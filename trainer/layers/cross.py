"""Cross layers of DCN V2: full, of low rank, and mixtures (Wang et al. 2021).

Legend: B batch, D width, r rank, E experts.
"""

import keras
import tensorflow as tf
from tensorflow_recommenders.layers.feature_interaction.dcn import Cross

from trainer.layers.mlp import dense
from trainer.layers.seeds import derived_seed

__all__ = ["CrossMixture", "build_cross"]


def build_cross(
    width: int, *, rank: int | None, experts: int, name: str, seed: int
) -> keras.layers.Layer:
    """Returns a layer from x0 and x, float32 [B, D] each, to the next x.

    Args:
        width: D.
        rank: r, or None for a full matrix.
        experts: E; more than one needs a rank.
    """
    if experts > 1 and rank is not None:
        return CrossMixture(width, rank=rank, experts=experts, name=name, seed=seed)
    cross = Cross(projection_dim=rank, name=name)
    # Its own build would name the dense layers by a global counter, and a checkpoint
    # restores by name.
    if rank is None:
        cross._dense = dense(width, width, name=f"{name}_dense", seed=seed)
    else:
        cross._dense_u = dense(
            rank, width, name=f"{name}_down", seed=seed, use_bias=False
        )
        cross._dense_v = dense(width, rank, name=f"{name}_up", seed=seed)
    cross.built = True
    return cross


class CrossMixture(keras.layers.Layer):  # type: ignore[misc]
    """x' = x0 * (sum_e g_e(x) U_e tanh(C_e tanh(V_e x)) + b) + x, g = softmax(G x).

    Args:
        width: D.
        rank: r.
        experts: E.
    """

    def __init__(
        self, width: int, *, rank: int, experts: int, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self._experts, self._rank = experts, rank
        self._gate = dense(
            experts, width, name=f"{name}_gate", seed=seed, use_bias=False
        )
        self._down = dense(
            experts * rank, width, name=f"{name}_down", seed=seed, use_bias=False
        )
        self._middle = self.add_weight(
            name="middle",
            shape=(experts, rank, rank),
            initializer=keras.initializers.GlorotUniform(derived_seed(seed, name)),
        )
        self._up = dense(width, experts * rank, name=f"{name}_up", seed=seed)
        self.built = True

    def call(self, x0: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, D] twice to [B, D]."""
        experts, rank = self._experts, self._rank
        inner = tf.reshape(tf.tanh(self._down(x)), (-1, experts, rank))
        inner = tf.tanh(tf.einsum("ber,ers->bes", inner, self._middle.value))
        # In bfloat16 the weights of many experts would not add up to 1.
        gate = tf.nn.softmax(tf.cast(self._gate(x), tf.float32), axis=1)
        # The gate comes before U, so that all experts are one product.
        inner *= tf.cast(gate, inner.dtype)[:, :, tf.newaxis]
        return x0 * self._up(tf.reshape(inner, (-1, experts * rank))) + x
