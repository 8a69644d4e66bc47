"""CL4CTR's feature alignment (Wang et al., WSDM 2023).

Legend: m values of a field in a replica's rows, d width of their embeddings.
"""

import keras
import tensorflow as tf

from configs.auxiliary import CL4CTRAlignment as Config
from configs.job import Job
from trainer.auxiliary.field_values import field_values
from trainer.auxiliary.identity import Batch
from trainer.collectives import global_sum
from trainer.layers.groups import EmbeddedGroups, GroupsLayout

__all__ = ["CL4CTRAlignment"]


class CL4CTRAlignment(keras.layers.Layer):  # type: ignore[misc]
    """The mean squared distance between embeddings of one field.

    With E_f the embeddings of the distinct values that field f has in the global batch
    (the paper takes those of the whole table), n_f their number:

        sum_f sum_{i,j in E_f} | e_i - e_j |^2 / sum_f n_f^2

    which is sum_f 2 n_f sum_i | e_i - mean_f |^2 / sum_f n_f^2, in linear time. A field
    is a table, of categorical features with one value or a bucketized one.

    Over replicas fingerprints are gathered (8 bytes for each feature of a row), and one
    sum of embeddings for each field. The gradient needs nothing of others: the distance
    to the mean does not change where the mean is varied.

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of nothing: it has no weights.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        del config, seed
        super().__init__(name="auxiliary_cl4ctr_alignment")
        self._job = job
        self._layout = layout
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        fields = field_values(self._job, self._layout, groups, batch)
        sums = global_sum(tf.concat([f.sum(f.vectors) for f in fields], axis=0))
        widths = [field.vectors.shape[1] for field in fields]
        total, pairs = tf.constant(0.0), tf.constant(0.0)
        for field, summed in zip(fields, tf.split(sums, widths), strict=True):
            mean = tf.math.divide_no_nan(summed, field.distinct)
            squares = tf.reduce_sum(tf.square(field.vectors - mean), axis=1)
            total += 2.0 * field.distinct * tf.reduce_sum(field.counts * squares)
            pairs += tf.square(field.distinct)
        return tf.math.divide_no_nan(total, pairs)
