"""DeepMCP's matching subnet (Ouyang et al., IJCAI 2019)."""

import keras
import tensorflow as tf

from configs.auxiliary import DeepMCPMatching as Config
from configs.job import Job
from configs.layout import LABELS, layout_of
from trainer.auxiliary.identity import Batch
from trainer.auxiliary.sides import user_and_item_towers
from trainer.collectives import global_sum
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool

__all__ = ["DeepMCPMatching"]


class DeepMCPMatching(keras.layers.Layer):  # type: ignore[misc]
    """Predicts the label from the inner product of a user's and an item's vector.

    User side: the profile's embeddings, and the mean of each sequence's behaviours.
    Item side: the item's embeddings. Each goes through an MLP of its own (dense layers
    with ReLU, the last one with tanh: products of vectors without negative numbers
    could not be negative). Over the n rows of the global batch, with m_i = u_i . a_i:

        -(1/n) sum_i [ y_i log sigmoid(m_i) + (1 - y_i) log(1 - sigmoid(m_i)) ]

    The rows are those of the sample: where negatives were dropped, m is not corrected,
    for nobody is served by it. Rows do not see each other; over replicas the number of
    rows is summed (4 bytes), and nothing else crosses devices.

    Args:
        config: its section of the job.
        job: the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    def __init__(
        self, config: Config, job: Job, layout: GroupsLayout, *, seed: int
    ) -> None:
        name = "auxiliary_deepmcp_matching"
        super().__init__(name=name)
        self._label = layout_of(job).labels.index(config.task)
        self._user, self._item = user_and_item_towers(
            layout, config.hidden, name=name, seed=seed
        )
        self.built = True

    def call(self, groups: EmbeddedGroups, batch: Batch) -> tf.Tensor:
        """Returns this replica's share of the loss, a float32 scalar."""
        parts = [groups.embeddings["user"]] if "user" in groups.embeddings else []
        parts += [mean_pool(s.values, s.mask) for s in groups.sequences.values()]
        users = tf.tanh(self._user(tf.concat(parts, axis=1)))
        items = tf.tanh(self._item(groups.embeddings["item"]))
        labels = batch[LABELS][:, self._label]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(
            labels, tf.reduce_sum(users * items, axis=1)
        )
        count = global_sum(tf.cast(tf.size(labels), tf.float32))
        return tf.math.divide_no_nan(tf.reduce_sum(losses), count)
