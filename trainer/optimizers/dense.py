"""The Keras optimizer of everything but the embedding tables."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from configs.training import DenseOptimizer

__all__ = ["clip_by_global_norm", "dense_optimizer"]


def dense_optimizer(
    options: DenseOptimizer, variables: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Returns the optimizer, its slots created. Called under the strategy's scope.

    It takes gradients that are summed over the replicas already: `trainer.step` needs
    the sums itself, to check and to clip them.
    """
    optimizer = _make(options)
    if options.name == "adamw":
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in variables if v.name != "kernel"]
        )
    # Keras would sum them once more. Two devices would then not equal one, which a
    # test holds.
    optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    optimizer.build(variables)
    return optimizer


def clip_by_global_norm(
    gradients: Sequence[tf.Tensor], limit: float
) -> list[tf.Tensor]:
    """Scales gradients down so that their common norm is at most `limit`."""
    clipped, _ = tf.clip_by_global_norm(list(gradients), limit)
    return list(clipped)


def _make(options: DenseOptimizer) -> Any:
    rate = options.learning_rate
    if options.name == "adam":
        return keras.optimizers.Adam(rate)
    if options.name == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)
    if options.name == "adagrad":
        return keras.optimizers.Adagrad(rate)
    return keras.optimizers.SGD(rate)
