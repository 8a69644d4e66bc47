"""The losses that are compared: as one writes them down at first, and ours.

Legend: N rows of a batch, P positives, Q negatives. Each variant takes the columns of a
batch and returns a scalar. Those called naive or positives by negatives leave the
gradient to TensorFlow.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.auxiliary.infonce import symmetric_info_nce_sum
from trainer.losses import CombinedPair, PWiseR
from trainer.losses.base import mean_loss
from trainer.similarity import unit_vectors

__all__ = ["NAIVE", "VARIANTS", "columns", "largest_matrix"]

Columns = Mapping[str, tf.Tensor]
Variant = Callable[[Columns], tf.Tensor]

ALPHA = 0.9
TEMPERATURE = 0.07
WIDTH = 32
"""Of the vectors of InfoNCE."""
CONVERSION_RATE = 0.1
"""Of the clicks."""
MARGINS = 0.3, 0.1
STRENGTH = 0.3
NAIVE = "naive N x N"


def columns(rows: int, rate: float) -> dict[str, npt.NDArray[np.float32]]:
    """Returns a batch with exactly `rate` clicks, and logits as of a trained model."""
    random = np.random.default_rng(0)
    labels = np.zeros(rows, np.float32)
    clicks = max(round(rate * rows), 1)
    labels[:clicks] = 1.0
    conversions = np.zeros(rows, np.float32)
    conversions[: max(round(CONVERSION_RATE * clicks), 1)] = 1.0
    logits = np.log(rate / (1.0 - rate)) + random.normal(size=rows) + 0.8 * labels
    # InfoNCE is over the clicked rows.
    vectors = random.normal(size=(2, clicks, WIDTH))
    return {
        "logits": logits.astype(np.float32),
        "labels": labels,
        "conversions": conversions,
        "anchors": vectors[0].astype(np.float32),
        "targets": vectors[1].astype(np.float32),
    }


def _combined_pair(batch: Columns) -> tf.Tensor:
    logits, labels = batch["logits"], batch["labels"]
    losses = CombinedPair(ALPHA).per_example(logits, labels)
    return mean_loss(losses, tf.cast(tf.size(logits), tf.float32))


def _combined_pair_matrix(batch: Columns) -> tf.Tensor:
    logits, labels = batch["logits"], batch["labels"]
    pairs = labels[:, tf.newaxis] * (1.0 - labels)
    losses = tf.nn.softplus(logits - logits[:, tf.newaxis])
    ranking = tf.reduce_sum(pairs * losses) / tf.reduce_sum(pairs)
    return ALPHA * _cross_entropy(batch) + (1.0 - ALPHA) * ranking


def _combined_pair_by_labels(batch: Columns) -> tf.Tensor:
    logits, labels = batch["logits"], batch["labels"]
    positives = tf.boolean_mask(logits, labels > 0.5)
    negatives = tf.boolean_mask(logits, labels < 0.5)
    ranking = tf.reduce_mean(tf.nn.softplus(negatives - positives[:, tf.newaxis]))
    return ALPHA * _cross_entropy(batch) + (1.0 - ALPHA) * ranking


def _cross_entropy(batch: Columns) -> tf.Tensor:
    logits, labels = batch["logits"], batch["labels"]
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def _info_nce(batch: Columns) -> tf.Tensor:
    anchors, targets = unit_vectors(batch["anchors"]), unit_vectors(batch["targets"])
    valid = tf.ones_like(anchors[tf.newaxis, :, 0], tf.bool)
    total = symmetric_info_nce_sum(
        anchors[tf.newaxis], targets[tf.newaxis], valid, valid, None, None, TEMPERATURE
    )
    return total / tf.cast(tf.size(valid), tf.float32)


def _info_nce_matrix(batch: Columns) -> tf.Tensor:
    anchors, targets = unit_vectors(batch["anchors"]), unit_vectors(batch["targets"])
    cosines = tf.matmul(anchors, targets, transpose_b=True) / TEMPERATURE
    own = tf.linalg.diag_part(cosines)
    sums = [tf.reduce_logsumexp(cosines, axis) for axis in (0, 1)]
    return tf.reduce_mean(sums[0] + sums[1] - 2.0 * own)


def _pwiser(batch: Columns) -> tf.Tensor:
    loss = PWiseR(STRENGTH, *MARGINS)
    losses = loss.per_example(
        batch["logits"], batch["labels"], conversions=batch["conversions"]
    )
    return mean_loss(losses, tf.cast(tf.size(batch["logits"]), tf.float32))


def _pwiser_matrix(batch: Columns) -> tf.Tensor:
    probabilities = tf.sigmoid(batch["logits"])
    converted, clicked = batch["conversions"], batch["labels"]
    differences = probabilities[:, tf.newaxis] - probabilities
    loss = _cross_entropy(batch)
    groups = (1.0 - converted) * clicked, 1.0 - clicked
    for margin, group in zip(MARGINS, groups, strict=True):
        pairs = converted[:, tf.newaxis] * group
        hinges = pairs * tf.square(tf.nn.relu(margin - differences))
        loss += STRENGTH * tf.math.divide_no_nan(
            tf.reduce_sum(hinges), tf.reduce_sum(pairs)
        )
    return loss


def largest_matrix(loss: str, variant: str, rows: int, rate: float) -> float:
    """Returns the mebibytes of the float32 matrix that a variant makes (several of)."""
    clicks = max(rate * rows, 1.0)
    entries = {
        ("Combined-Pair", NAIVE): rows * rows,
        ("Combined-Pair", "positives x negatives"): clicks * (rows - clicks),
        ("InfoNCE", NAIVE): clicks * clicks,
        ("PWiseR", NAIVE): rows * rows,
    }
    return 4.0 * entries.get((loss, variant), 0.0) / 2**20


VARIANTS: dict[str, dict[str, Variant]] = {
    "Combined-Pair": {
        NAIVE: _combined_pair_matrix,
        "positives x negatives": _combined_pair_by_labels,
        "ours": _combined_pair,
    },
    "InfoNCE": {NAIVE: _info_nce_matrix, "ours": _info_nce},
    "PWiseR": {NAIVE: _pwiser_matrix, "ours": _pwiser},
}
