"""Logistic regression: one weight for each value of each feature."""

import keras
import tensorflow as tf

from configs.backbones import LogisticRegression as Config
from trainer.layers.groups import EmbeddedGroups, GroupsLayout, mean_pool
from trainer.layers.mlp import dense

__all__ = ["LogisticRegression"]


class LogisticRegression(keras.layers.Layer):  # type: ignore[misc]
    """The sum of all embeddings (of width 1) and a weighted sum of the numbers.

    A behaviour sequence adds the mean of its values' weights. The result is a score:
    the head adds a bias and nothing else, so that the model is linear in its inputs.

    Args:
        config: its section of the job.
        layout: of the embedded groups.
        seed: of the initial weights.
    """

    gives_score = True

    def __init__(self, config: Config, layout: GroupsLayout, *, seed: int) -> None:
        super().__init__(name="backbone")
        del config  # There is nothing to configure.
        self.width = 1
        self._categorical = {n: s.categorical for n, s in layout.sequences.items()}
        numbers = layout.numeric + sum(s.numeric for s in layout.sequences.values())
        self._linear = None
        if numbers:
            self._linear = dense(
                1, numbers, name="backbone_linear", seed=seed, use_bias=False
            )
        self.built = True

    def call(self, groups: EmbeddedGroups, training: bool = False) -> tf.Tensor:
        """Returns float32 [B, 1]."""
        embedded = list(groups.embeddings.values())
        numbers = [groups.numeric]
        for name, sequence in groups.sequences.items():
            pooled = mean_pool(sequence.values, sequence.mask)
            embedded.append(pooled[:, : self._categorical[name]])
            numbers.append(pooled[:, self._categorical[name] :])
        score = tf.zeros((tf.shape(groups.numeric)[0], 1), tf.float32)
        for values in embedded:
            score += tf.reduce_sum(values, axis=1, keepdims=True)
        if self._linear is not None:
            score += self._linear(tf.concat(numbers, axis=1))
        return score
