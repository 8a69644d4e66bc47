"""CL4CTR's contrastive loss (Wang et al., WSDM 2023).

Legend: b rows of a replica, F features, d width of an embedding.
"""

import keras
import tensorflow as tf

from configs.auxiliary import CL4CTRContrastive as Config
from configs.job import Job
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.encoder import Encoder
from trainer.auxiliary.identity import Batch
from trainer.collectives import global_sum, own_share_of
from trainer.layers.groups import EmbeddedGroups, GroupsLayout
from trainer.layers.mlp import dense

__all__ = ["CL4CTRContrastive"]


class CL4CTRContrastive(keras.layers.Layer):  # type: ignore[misc]
    """Pulls together what an encoder makes of two masked views of a row.

    E [F, d] are the row's embeddings: of categorical, pooled multi-valued and
    bucketized features (numbers and behaviours stay outside). A view is E times a mask
    of zeros (with probability `rate`) and ones: a number for each element (`random`),
    feature or dimension. A transformer encoder and a linear projection, one for the
    first and one for the second view as published, make a vector h [d] of each:

        (1/n) sum_i | h1_i - h2_i |^2      over the n rows of the global batch.

    There are no negatives. Masks are drawn in each step, for the rows of all replicas;
    each replica takes those of its own rows. Over replicas only numbers of rows cross
    devices (4 bytes each).

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of the initial weights and of the masks.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        del job
        name = "auxiliary_cl4ctr_contrastive"
        super().__init__(name=name)
        self._config = config
        self._groups = list(layout.groups)
        self._fields = len(layout.spans)
        self._width = sum(layout.groups.values()) // self._fields
        self._encoder = Encoder(
            self._width,
            config.layers,
            config.feed_forward,
            name=f"{name}_encoder",
            seed=seed,
        )
        self._projections = [
            dense(
                self._width,
                self._fields * self._width,
                name=f"{name}_view_{view}",
                seed=seed,
            )
            for view in range(2)
        ]
        self._draws = Draws(name=f"{name}_draws", seed=seed)
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        del batch
        together = tf.concat([groups.embeddings[name] for name in self._groups], axis=1)
        rows = tf.shape(together)[0]
        values = tf.reshape(together, [rows, self._fields, self._width])
        count = global_sum(tf.cast(rows, tf.float32))
        views = values * self._masks(values, tf.cast(count, tf.int32))
        shape = [2 * rows, self._fields, self._width]
        encoded = self._encoder(tf.reshape(views, shape))
        flat = tf.reshape(encoded, [2, rows, self._fields * self._width])
        first, second = (layer(flat[k]) for k, layer in enumerate(self._projections))
        distances = tf.reduce_sum(tf.square(first - second), axis=1)
        return tf.math.divide_no_nan(tf.reduce_sum(distances), count)

    def _masks(self, values: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Returns 0 and 1 for both views of the own rows, [2, b, F or 1, d or 1]."""
        share = own_share_of(values)
        fields = 1 if self._config.mask == "dimension" else self._fields
        width = 1 if self._config.mask == "feature" else self._width
        drawn = self._draws.fractions([2, count, fields, width])
        kept = drawn[:, share.start : share.stop] >= self._config.rate
        return tf.cast(kept, values.dtype)
