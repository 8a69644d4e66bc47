"""Paired bootstrap intervals over test rows, of differences of AUC and log loss.

The AUC is a mean over pairs of rows, but to first order it is a mean over rows: each
row moves it by its influence, the share of rows of the other kind that it is ordered
rightly against (DeLong et al. 1988). With a million rows the rest is far below the
interval's own width, and a bootstrap replicate is one weighted mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["auc_and_influence", "log_losses", "paired_bootstrap"]

Array = NDArray[Any]


def auc_and_influence(logits: Array, labels: Array) -> tuple[float, Array]:
    """Returns the AUC, and each row's influence on it.

    Args:
        logits: [rows]; ties count half.
        labels: [rows], 0 or 1, some of each.

    Returns:
        The AUC, and float64 [rows]: the derivative of the AUC by the weight of the row,
        times the number of rows. Its mean is 0.
    """
    positive = labels > 0.5
    values, places, counts = np.unique(logits, return_inverse=True, return_counts=True)
    hits = np.bincount(places, weights=positive, minlength=len(values))
    below_positive = np.cumsum(hits) - hits / 2.0
    misses = counts - hits
    below_negative = np.cumsum(misses) - misses / 2.0
    right = np.where(
        positive,
        below_negative[places] / misses.sum(),
        1.0 - below_positive[places] / hits.sum(),
    )
    auc = float(right[positive].mean())
    share = np.where(positive, positive.mean(), 1.0 - positive.mean())
    return auc, (right - auc) / share


def log_losses(logits: Array, labels: Array) -> Array:
    """Returns the cross-entropy of each row, float64 [rows]."""
    wide = logits.astype(np.float64)
    losses: Array = np.logaddexp(0.0, wide) - labels * wide
    return losses


def paired_bootstrap(
    values: Sequence[Array], *, replicates: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """Returns means of `values` under resampled rows, [replicates, len(values)].

    All values see the same rows in a replicate, so differences are paired.
    """
    random = np.random.default_rng(seed)
    stacked = np.stack([v.astype(np.float32) for v in values])
    means = np.empty((replicates, len(values)))
    for replicate in range(replicates):
        weights = random.poisson(1.0, stacked.shape[1]).astype(np.float32)
        means[replicate] = stacked @ weights / weights.sum(dtype=np.float64)
    return means
