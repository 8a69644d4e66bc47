"""JRC: joint optimization of ranking and calibration (Sheng et al. 2023)."""

from typing import ClassVar

import keras
import tensorflow as tf

from trainer.losses.combined import Combined
from trainer.losses.listwise import softmax_losses
from trainer.losses.rows import ranking_rows, weighted_mean
from trainer.losses.segments import Segments

__all__ = ["JointRankingCalibration"]


@keras.saving.register_keras_serializable(package="pairstream")
class JointRankingCalibration(Combined):
    """alpha * L_clf + (1 - alpha) * L_rank over two logits, of no click and of click.

    L_clf  = -(1/n) sum_i w_i log( exp(z_i[y_i]) / (exp(z_i[0]) + exp(z_i[1])) )
    L_rank = -(1/W) sum_i w_i log( exp(z_i[y_i]) / sum_k exp(z_k[y_i]) )

    In L_rank a click competes by click logits, a row without by the logits of no click,
    with all rows k, of both labels, or with those of its context; w_k stands in the
    denominator as `softmax_losses` says. L_rank is a weighted mean over all rows, W
    their weight, so that it does not change with the scale of the weights, and it does
    hold in a batch of one label. p = sigmoid(z_i[1] - z_i[0]).

    Args:
        alpha: share of L_clf, from 0 to 1.
        beta: weight of positives in L_clf.
    """

    default_name: ClassVar[str] = "jrc"
    two_logits: ClassVar[bool] = True

    def pointwise(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns L_clf of each row: the cross-entropy of the logits' difference."""
        rows = ranking_rows(logits, labels, None, mask)
        difference = rows.logits[:, 1] - rows.logits[:, 0]
        return super().pointwise(difference, labels, weights=weights, mask=mask)

    def ranking(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
        contexts: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns -n w_i ( z_i[y_i] - log sum_k exp(z_k[y_i]) ) / W."""
        rows = ranking_rows(logits, labels, weights, mask)
        losses = softmax_losses(rows.logits, rows.weights, Segments(contexts))
        losses = tf.where(rows.labels > 0.5, losses[:, 1], losses[:, 0])
        return weighted_mean(losses, rows.weights, rows.count)
