"""What workers must agree on outside the step: when to stop, and what the chief saw.

Workers that decide differently wait for each other forever, so whatever decides about
another step and is not the same everywhere by itself goes through this file: signals,
callbacks, metrics. Call everything here on every worker alike and in the same order.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer.cluster import Cluster

__all__ = ["Agreement"]


class Agreement:
    """Agreement between the workers of a cluster; of one worker, the identity.

    Args:
        cluster: the workers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pending: tf.Tensor | None = None
        self._sum: Any = None
        if cluster.workers > 1:
            signature = [tf.TensorSpec([None], tf.float64)]
            self._sum = tf.function(
                _sum_over_workers, input_signature=signature, autograph=False
            )

    def as_the_chief(self, values: Sequence[float | None]) -> list[float | None]:
        """Returns the values of the chief; None stands for a missing one."""
        if self._sum is None:
            return list(values)
        nothing = [0.0] * len(values)
        known = nothing
        if self._cluster.is_chief:
            known = [float(v is not None) for v in values]
            nothing = [0.0 if v is None else v for v in values]
        agreed = self._sum(tf.constant([*known, *nothing], tf.float64)).numpy()
        pairs = zip(agreed[: len(values)], agreed[len(values) :], strict=True)
        return [float(value) if there else None for there, value in pairs]

    def any_before(self, flags: Sequence[bool]) -> list[bool]:
        """Returns which flags any worker had set when this was called last.

        Waiting for the answer of this time would leave devices idle after each step; so
        it is collected while the next step runs. One worker gets it at once.
        """
        if self._sum is None:
            return list(flags)
        before = self._pending
        self._pending = self._sum(tf.constant([float(f) for f in flags], tf.float64))
        if before is None:
            return [False] * len(flags)
        return [bool(count) for count in before.numpy()]

    def meet(self) -> None:
        """Waits until all workers have come here."""
        if self._sum is not None:
            self._sum(tf.zeros([1], tf.float64)).numpy()


def _sum_over_workers(values: tf.Tensor) -> tf.Tensor:
    strategy = tf.distribute.get_strategy()

    def on_replica() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        devices = strategy.extended.worker_devices
        # One device speaks for its worker.
        own = context.replica_id_in_sync_group % len(devices)
        spoken = tf.where(tf.equal(own, 0), values, tf.zeros_like(values))
        return context.all_reduce(tf.distribute.ReduceOp.SUM, spoken)

    return strategy.experimental_local_results(strategy.run(on_replica))[0]
