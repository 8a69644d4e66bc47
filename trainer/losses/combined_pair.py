"""Combined-Pair: cross-entropy and RankNet together (KDD 2024, eq. 4)."""

from typing import ClassVar

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

    default_name: ClassVar[str] = "combined_pair"

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
        return RankNet().per_example(
            logits, labels, weights=weights, mask=mask, contexts=contexts
        )
