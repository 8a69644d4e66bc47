"""Combined-Pair: cross-entropy and RankNet together (KDD 2024, eq. 4)."""

from typing import Any

import keras
import tensorflow as tf

from trainer.losses.combined import Combined
from trainer.losses.ranknet import RankNet

__all__ = ["CombinedPair"]


@keras.saving.register_keras_serializable(package="pairstream")
class CombinedPair(Combined):
    """alpha * BCE + (1 - alpha) * RankNet.

    For negatives both gradients push the logit down, and while positives have logits
    below 0 RankNet's is the larger: it is what negatives learn from under sparse
    feedback. Denominators are those of `BinaryCrossEntropy` and `RankNet`.

    Args:
        alpha: share of the cross-entropy, from 0 to 1.
        beta: weight of positives in the cross-entropy.
    """

    def __init__(
        self,
        alpha: float = 0.9,
        beta: float = 1.0,
        *,
        name: str = "combined_pair",
        **arguments: Any,
    ) -> None:
        super().__init__(alpha, beta, name=name, **arguments)
        self._ranknet = RankNet()

    def ranking(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
        contexts: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns RankNet."""
        return self._ranknet.per_example(
            logits, labels, weights=weights, mask=mask, contexts=contexts
        )
