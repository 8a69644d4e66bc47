"""RCR: a list-wise loss that agrees with cross-entropy (Bai et al. 2023)."""

from typing import ClassVar

import keras
import tensorflow as tf

from trainer.losses.combined import Combined
from trainer.losses.listwise import softmax_losses
from trainer.losses.rows import ranking_rows, weighted_mean
from trainer.losses.segments import Segments

__all__ = ["RegressionCompatibleRanking"]


@keras.saving.register_keras_serializable(package="pairstream")
class RegressionCompatibleRanking(Combined):
    """alpha * BCE + (1 - alpha) * weighted mean over positives of -log(p_i / sum p_k).

    p = sigmoid(z). The sum runs over all rows, or over those of the positive's context,
    and carries w_k as `softmax_losses` says. The mean is over all positives of the
    batch, by w_i; without any positive the term is 0. Unlike a softmax of logits it is
    least at the true probabilities, where only proportions of p matter to it; but it
    does see a constant added to all logits.

    Args:
        alpha: share of the cross-entropy, from 0 to 1.
        beta: weight of positives in the cross-entropy.
    """

    default_name: ClassVar[str] = "rcr"

    def ranking(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
        contexts: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns, for positives, -n w_i log(p_i / sum_k p_k) / W+, in log space."""
        rows = ranking_rows(logits, labels, weights, mask)
        scores = tf.math.log_sigmoid(rows.logits)
        losses = softmax_losses(scores, rows.weights, Segments(contexts))
        return weighted_mean(losses, rows.weights * rows.labels, rows.count)
