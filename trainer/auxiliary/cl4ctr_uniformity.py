"""CL4CTR's field uniformity (Wang et al., WSDM 2023).

Legend: R replicas, F fields, m values of a field in a replica's rows, d width of their
embeddings.
"""

import keras
import tensorflow as tf

from configs.auxiliary import CL4CTRUniformity as Config
from configs.job import Job
from trainer.auxiliary.field_values import field_values, total_of
from trainer.auxiliary.identity import Batch
from trainer.collectives import gather_rows
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.similarity import unit_vectors

__all__ = ["CL4CTRUniformity"]


class CL4CTRUniformity(keras.layers.Layer):  # type: ignore[misc]
    """The mean cosine between embeddings of different fields.

    With E_f the embeddings of the distinct values that field f has in the global batch
    (the paper takes those of the whole table), n_f their number, N that of all fields:

        sum_f sum_{i in E_f} sum_{j not in E_f} cos(e_i, e_j) / sum_f n_f (N - n_f)

    which is found in linear time from a sum of unit vectors for each field. A field is
    a table, of categorical features with one value or a bucketized one.

    Over replicas fingerprints are gathered (8 bytes for each feature of a row), and one
    sum of unit vectors for each field and replica, with its gradient (8 R F d bytes).

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
        super().__init__(name="auxiliary_cl4ctr_uniformity")
        self._job = job
        self._layout = layout
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        fields = field_values(self._job, self._layout, groups, batch)
        own = tf.stack([f.sum(unit_vectors(f.vectors)) for f in fields])
        sums = tf.reduce_sum(gather_rows(own[tf.newaxis]), axis=0)
        # Each value of field f meets all sums but that of f.
        others = tf.reduce_sum(sums, axis=0) - sums
        values = total_of(fields)
        distinct = tf.stack([field.distinct for field in fields])
        pairs = tf.reduce_sum(distinct * (values - distinct))
        return tf.math.divide_no_nan(tf.reduce_sum(own * others), pairs)
