"""A stack of dense layers."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from trainer.layers.seeds import derived_seed

__all__ = ["MLP", "Dropout", "dense"]


def dense(
    units: int,
    input_width: int,
    *,
    name: str,
    seed: int,
    activation: str | None = None,
    use_bias: bool = True,
) -> keras.layers.Dense:
    """Returns a built dense layer; its kernel depends on seed and name alone."""
    layer = keras.layers.Dense(
        units,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer=keras.initializers.GlorotUniform(derived_seed(seed, name)),
        name=name,
    )
    layer.build((None, input_width))
    return layer


class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """As Keras's, with a seed generator whose name is that of the layer (Keras counts
    them up), so that a checkpoint restores its state by name. Replicas draw different
    masks: each mixes its number into the seed, which is the same on all.

    Args:
        rate: share of the values that become 0 in training.
    """

    def __init__(self, rate: float, *, name: str, seed: int) -> None:
        super().__init__(name=name)
        self._rate = rate
        self._seeds = None
        if rate > 0.0:
            self._seeds = keras.random.SeedGenerator(
                derived_seed(seed, name), name=f"{name}_seeds"
            )
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Drops values and scales up the others, in training."""
        if not training or self._seeds is None:
            return inputs
        # As Keras makes the seed of a mask from that of a generator.
        seed = tf.math.floormod(tf.cast(self._seeds.next(), tf.int64), 2**31 - 2)
        seed = tf.cast(seed, tf.int32)
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            seed = tf.random.fold_in(seed, context.replica_id_in_sync_group)
        return tf.nn.experimental.stateless_dropout(inputs, self._rate, seed=seed)


class MLP(keras.layers.Layer):  # type: ignore[misc]
    """Dense layers with ReLU, each followed by dropout.

    Args:
        input_width: of the last axis of the input.
        hidden: widths of the layers.
        dropout: share of units dropped in training. Its Keras seed generator is among
            the layer's variables, so a checkpoint of all variables carries it.
        linear_output: whether the last layer has neither ReLU nor dropout.
    """

    def __init__(
        self,
        input_width: int,
        hidden: Sequence[int],
        *,
        name: str,
        seed: int,
        dropout: float = 0.0,
        linear_output: bool = False,
    ) -> None:
        super().__init__(name=name)
        self._dense = []
        self._dropout = []
        for number, width in enumerate(hidden):
            last = linear_output and number == len(hidden) - 1
            part = f"{name}_{number}"
            activation = None if last else "relu"
            self._dense.append(
                dense(width, input_width, name=part, seed=seed, activation=activation)
            )
            self._dropout.append(
                Dropout(0.0 if last else dropout, name=f"{part}_dropout", seed=seed)
            )
            input_width = width
        self.width = input_width
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps float32 [..., input_width] to float32 [..., width]."""
        values = inputs
        for layer, dropout in zip(self._dense, self._dropout, strict=True):
            values = dropout(layer(values), training=training)
        return values
