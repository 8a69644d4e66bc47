"""RankNet as a double sum over NumPy float64, a positive at a time, for larger batches.

Without contexts the denominator is W+ W-; with them, the weight of the pairs that are
inside a context.
"""

from typing import Any

import numpy as np


def ranknet_with_gradient(
    logits: Any, labels: Any, weights: Any = None, contexts: Any = None
) -> tuple[float, Any]:
    """Returns the mean of softplus(z_j - z_i) over the pairs, and its gradient [B]."""
    logits = np.asarray(logits, np.float64)
    weights = np.ones(len(logits)) if weights is None else np.asarray(weights, float)
    negative = np.flatnonzero(np.asarray(labels) < 0.5)
    total = pairs = 0.0
    gradient = np.zeros(len(logits))
    for i in np.flatnonzero(np.asarray(labels) > 0.5):
        partners = negative
        if contexts is not None:
            partners = negative[contexts[negative] == contexts[i]]
        differences = logits[partners] - logits[i]
        products = weights[i] * weights[partners]
        # 1 - sigmoid(-x) has no digits where sigmoid(x) is small.
        decay = np.exp(-np.abs(differences))
        slopes = np.where(differences > 0.0, 1.0, decay) / (1.0 + decay)
        total += products @ (np.maximum(differences, 0.0) + np.log1p(decay))
        pairs += products.sum()
        gradient[i] -= products @ slopes
        gradient[partners] += products * slopes
    return (total / pairs, gradient / pairs) if pairs else (0.0, gradient)
