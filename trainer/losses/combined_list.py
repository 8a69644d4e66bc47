"""Combined-List: cross-entropy and ListNet together (Yan et al. 2022)."""

from typing import ClassVar

import keras
import tensorflow as tf

from trainer.losses.combined import Combined
from trainer.losses.listwise import softmax_losses
from trainer.losses.rows import ranking_rows, weighted_mean
from trainer.losses.segments import Segments

__all__ = ["CombinedList"]


@keras.saving.register_keras_serializable(package="pairstream")
class CombinedList(Combined):
    """alpha * BCE + (1 - alpha) * weighted mean over positives of -log softmax(z)_i.

    ListNet with the positives as targets. The softmax runs over all rows, positives
    included, or over those of the positive's context; w_k stands in its denominator as
    `softmax_losses` says. The mean is over all positives of the batch, by w_i; without
    any positive the term is 0. It does not see a constant added to all logits.

    Args:
        alpha: share of the cross-entropy, from 0 to 1.
        beta: weight of positives in the cross-entropy.
    """

    default_name: ClassVar[str] = "combined_list"

    def ranking(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
        contexts: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns, for positives, -n w_i log softmax(z)_i / W+."""
        rows = ranking_rows(logits, labels, weights, mask)
        losses = softmax_losses(rows.logits, rows.weights, Segments(contexts))
        return weighted_mean(losses, rows.weights * rows.labels, rows.count)
