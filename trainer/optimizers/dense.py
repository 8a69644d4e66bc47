"""The Keras optimizer of everything but the embedding tables.

It is Keras' own, slots and learning rate included, with three things changed. It takes
gradients that are summed over the replicas already, since the step needs the sums
itself, to check and to clip them. Its rate follows a schedule, while `learning_rate`
stays what callbacks read and set. And Adam's update is one kernel for each variable
instead of ten operations.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from configs.training import DenseOptimizer, Schedule
from trainer.optimizers.schedule import share_of_rate

__all__ = ["dense_optimizer"]


def dense_optimizer(
    options: DenseOptimizer, variables: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Returns the optimizer, its slots created. Called under the strategy's scope.

    It takes gradients that are summed over the replicas already.
    """
    optimizer = _make(options)
    optimizer.schedule = options.schedule
    if options.name == "adamw":
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in variables if v.name != "kernel"]
        )
    optimizer.build(variables)
    return optimizer


class _Scheduled:
    """Comes before a Keras optimizer in the order of bases."""

    schedule: Schedule

    def scheduled_rate(self) -> tf.Tensor:
        """Returns the learning rate of the next update."""
        optimizer: Any = self
        share = share_of_rate(self.schedule, optimizer.iterations.value)
        return tf.convert_to_tensor(optimizer.learning_rate) * share

    def _backend_update_step(
        self, grads: Sequence[tf.Tensor], variables: Sequence[Any], learning_rate: Any
    ) -> None:
        del learning_rate  # without the schedule
        rate = self.scheduled_rate()
        base: Any = super()
        base._backend_update_step(grads, variables, rate)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        # Keras would sum them once more. Two devices would then not equal one, which a
        # test holds.
        return grads_and_vars


class _Adam(_Scheduled, keras.optimizers.AdamW):  # type: ignore[misc]
    """Adam, and AdamW where `weight_decay` is not 0."""

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        return  # `update_step` does it: it knows the scheduled rate

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable and its two slots."""
        index = self._get_variable_index(variable)
        if self.weight_decay and self._use_weight_decay(variable):
            variable.assign_sub(variable * (learning_rate * self.weight_decay))
        step = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class _Adagrad(_Scheduled, keras.optimizers.Adagrad):  # type: ignore[misc]
    pass


class _SGD(_Scheduled, keras.optimizers.SGD):  # type: ignore[misc]
    pass


def _make(options: DenseOptimizer) -> Any:
    rate = options.learning_rate
    if options.name == "adam":
        return _Adam(rate, weight_decay=0.0, name="adam")
    if options.name == "adamw":
        return _Adam(rate, weight_decay=options.weight_decay, name="adamw")
    if options.name == "adagrad":
        return _Adagrad(rate, name="adagrad")
    return _SGD(rate, name="SGD")
