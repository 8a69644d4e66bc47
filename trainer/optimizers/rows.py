"""The touched rows of a table: ids and gradients, each row once."""

from typing import NamedTuple

import tensorflow as tf

from trainer.traffic import exchanged

__all__ = ["Rows", "gather_rows", "sum_rows"]


class Rows(NamedTuple):
    """Rows of a table with their gradients.

    Attributes:
        ids: [N] int, row numbers.
        gradients: [N, dim] float32.
    """

    ids: tf.Tensor
    gradients: tf.Tensor


def sum_rows(rows: Rows) -> Rows:
    """Returns each row once, with the sum of its gradients."""
    ids, position = tf.unique(rows.ids)
    gradients = tf.math.unsorted_segment_sum(rows.gradients, position, tf.size(ids))
    return Rows(ids, gradients)


def gather_rows(gradient: tf.IndexedSlices) -> Rows:
    """Returns the rows that the batch touches on any replica, summed over replicas.

    Each replica sums its own rows first, so that only distinct rows travel. The result
    is the same on every replica, in the same order.

    Args:
        gradient: of this replica, as a tape returns it for a gather.
    """
    rows = sum_rows(Rows(gradient.indices, gradient.values))
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return rows
    exchanged("rows of tables", [rows.ids, rows.gradients])
    ids, gradients = context.all_gather([rows.ids, rows.gradients], axis=0)
    return sum_rows(Rows(ids, gradients))
