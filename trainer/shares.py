"""Which part of a batch a replica works on."""

import tensorflow as tf

from trainer.inputs.examples import Batch

__all__ = ["own_share"]


def own_share(shares: tuple[Batch, ...]) -> Batch:
    """Returns the share of the replica that calls, in its replica context.

    Args:
        shares: of the replicas of this process.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    known = tf.get_static_value(replica)
    # Each worker has the same number of replicas, and they are numbered in order.
    return shares[int(replica if known is None else known) % len(shares)]
