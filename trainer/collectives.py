"""What replicas say to each other. Off-strategy, and on one replica, the identity.

Every in-batch term that is to see the global batch goes through this file.
"""

import tensorflow as tf

__all__ = ["global_sum"]


def global_sum(value: tf.Tensor) -> tf.Tensor:
    """Returns the sum of `value` over the replicas, without a gradient.

    Call it in a replica context (inside `strategy.run`), on every replica alike.
    """
    value = tf.stop_gradient(value)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
