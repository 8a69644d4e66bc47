"""Losses as double loops over Python numbers, formula by formula."""

import math
from collections.abc import Sequence

Numbers = Sequence[float]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def bce(logits: Numbers, labels: Numbers, weights: Numbers, beta: float = 1.0) -> float:
    """-(1/N) sum w [ beta y log p + (1 - y) log(1 - p) ]."""
    total = 0.0
    for z, y, w in zip(logits, labels, weights, strict=True):
        total += w * (beta * y * softplus(-z) + (1.0 - y) * softplus(z))
    return total / len(logits) if logits else 0.0


def ranknet(
    logits: Numbers,
    labels: Numbers,
    weights: Numbers,
    contexts: Sequence[int] | None = None,
) -> float:
    """sum of w_i w_j softplus(z_j - z_i) over the pairs, over the sum of w_i w_j."""
    total = pairs = 0.0
    for i, (zi, yi) in enumerate(zip(logits, labels, strict=True)):
        for j, (zj, yj) in enumerate(zip(logits, labels, strict=True)):
            if yi == 1.0 and yj == 0.0:
                if contexts is None or contexts[i] == contexts[j]:
                    weight = weights[i] * weights[j]
                    total += weight * softplus(zj - zi)
                    pairs += weight
    return total / pairs if pairs else 0.0


def combined_pair(
    logits: Numbers,
    labels: Numbers,
    weights: Numbers,
    contexts: Sequence[int] | None = None,
    alpha: float = 0.9,
    beta: float = 1.0,
) -> float:
    pointwise = bce(logits, labels, weights, beta)
    return alpha * pointwise + (1.0 - alpha) * ranknet(
        logits, labels, weights, contexts
    )
