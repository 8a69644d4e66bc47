"""Losses as double loops over Python numbers, formula by formula.

Rows that are masked out are left out by the caller. `contexts` restricts pairs and
lists to rows of equal value; None is one context.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Numbers = Sequence[float]
Contexts = Sequence[int] | None


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x - softplus(x))


def together(contexts: Contexts, i: int, j: int) -> bool:
    return contexts is None or contexts[i] == contexts[j]


def bce(logits: Numbers, labels: Numbers, weights: Numbers, beta: float = 1.0) -> float:
    """-(1/N) sum w [ beta y log p + (1 - y) log(1 - p) ]."""
    total = 0.0
    for z, y, w in zip(logits, labels, weights, strict=True):
        total += w * (beta * y * softplus(-z) + (1.0 - y) * softplus(z))
    return total / len(logits) if logits else 0.0


def mean_over_pairs(
    first: Sequence[int],
    second: Sequence[int],
    weights: Numbers,
    contexts: Contexts,
    term: Callable[[int, int], float],
) -> float:
    """sum of w_i w_j term(i, j) over the pairs, over the sum of w_i w_j; 0 if none."""
    total = pairs = 0.0
    for i in first:
        for j in second:
            if together(contexts, i, j):
                weight = weights[i] * weights[j]
                total += weight * term(i, j)
                pairs += weight
    return total / pairs if pairs else 0.0


def mean_over_rows(
    rows: Sequence[int], weights: Numbers, term: Callable[[int], float]
) -> float:
    """sum of w_i term(i) over the rows, over the sum of w_i; 0 without weight."""
    total = sum(weights[i] for i in rows)
    return sum(weights[i] * term(i) for i in rows) / total if total else 0.0


def rows_with(labels: Numbers, label: float) -> list[int]:
    return [i for i, y in enumerate(labels) if y == label]


def ranknet(
    logits: Numbers, labels: Numbers, weights: Numbers, contexts: Contexts = None
) -> float:
    """The mean of softplus(z_j - z_i) over pairs of a positive and a negative."""
    return mean_over_pairs(
        rows_with(labels, 1.0),
        rows_with(labels, 0.0),
        weights,
        contexts,
        lambda i, j: softplus(logits[j] - logits[i]),
    )


def log_sum(scores: Numbers, weights: Numbers, rows: Iterator[int]) -> float:
    """log sum_k v_k exp(s_k), v = w over the mean w; rows of weight 0 do not exist."""
    heavy = [k for k in rows if weights[k] > 0.0]
    mean = sum(weights[k] for k in heavy) / len(heavy)
    top = max(scores[k] for k in heavy)
    total = math.fsum(weights[k] / mean * math.exp(scores[k] - top) for k in heavy)
    return top + math.log(total)


def list_loss(
    scores: Numbers, weights: Numbers, contexts: Contexts, i: int, *, others: bool
) -> float:
    """-log softmax(scores)_i over the context of i; `others`: without i in the sum."""
    rows = (
        k
        for k in range(len(scores))
        if together(contexts, i, k) and not (others and k == i)
    )
    return log_sum(scores, weights, rows) - scores[i]


def listnet(
    logits: Numbers, labels: Numbers, weights: Numbers, contexts: Contexts = None
) -> float:
    """The mean over positives of -log softmax(z)_i."""
    return mean_over_rows(
        [i for i in rows_with(labels, 1.0) if weights[i] > 0.0],
        weights,
        lambda i: list_loss(logits, weights, contexts, i, others=False),
    )


def list_of_probabilities(
    logits: Numbers, labels: Numbers, weights: Numbers, contexts: Contexts = None
) -> float:
    """The mean over positives of -log(p_i / sum_k p_k)."""
    return listnet([-softplus(-z) for z in logits], labels, weights, contexts)


def combined(
    ranking: Callable[..., float],
    logits: Numbers,
    labels: Numbers,
    weights: Numbers,
    contexts: Contexts = None,
    alpha: float = 0.9,
    beta: float = 1.0,
) -> float:
    """alpha BCE + (1 - alpha) ranking."""
    pointwise = bce(logits, labels, weights, beta)
    return alpha * pointwise + (1.0 - alpha) * ranking(
        logits, labels, weights, contexts
    )


def combined_pair(*arguments: Any, **keywords: Any) -> float:
    return combined(ranknet, *arguments, **keywords)


def combined_list(*arguments: Any, **keywords: Any) -> float:
    return combined(listnet, *arguments, **keywords)


def rcr(*arguments: Any, **keywords: Any) -> float:
    return combined(list_of_probabilities, *arguments, **keywords)


def jrc(
    logits: Sequence[Numbers],
    labels: Numbers,
    weights: Numbers,
    contexts: Contexts = None,
    alpha: float = 0.9,
    beta: float = 1.0,
) -> float:
    """alpha L_clf + (1 - alpha) L_rank over logits [N][2], of no click and of click."""
    columns = [[z[c] for z in logits] for c in (0, 1)]
    pointwise = bce([z[1] - z[0] for z in logits], labels, weights, beta)
    ranking = mean_over_rows(
        [i for i in range(len(labels)) if weights[i] > 0.0],
        weights,
        lambda i: list_loss(
            columns[int(labels[i])], weights, contexts, i, others=False
        ),
    )
    return alpha * pointwise + (1.0 - alpha) * ranking


def focal(
    logits: Numbers,
    labels: Numbers,
    weights: Numbers,
    gamma: float = 2.0,
    beta: float = 1.0,
    *,
    balanced: bool = False,
) -> float:
    """-(1/N) sum w [ beta y (1-p)^g log p + (1-y) f log(1-p) ], f = p^g.

    Balanced: f = p^g + 1 - the mean of p^g over negatives, by w.
    """
    powers = [sigmoid(z) ** gamma for z in logits]
    extra = 0.0
    if balanced:
        extra = 1.0 - mean_over_rows(
            rows_with(labels, 0.0), weights, lambda i: powers[i]
        )
    total = 0.0
    for z, y, w, power in zip(logits, labels, weights, powers, strict=True):
        total += w * beta * y * sigmoid(-z) ** gamma * softplus(-z)
        total += w * (1.0 - y) * (power + extra) * softplus(z)
    return total / len(logits) if logits else 0.0


def contrastive(
    hidden: Sequence[Numbers],
    labels: Numbers,
    weights: Numbers,
    contexts: Contexts = None,
    temperature: float = 0.1,
) -> float:
    """The supervised contrastive loss on normalized vectors, a mean over all rows.

    An anchor i without another row of its label in its context gives 0.
    """
    directions = []
    for vector in hidden:
        length = math.sqrt(sum(x * x for x in vector))
        directions.append([x / length if length else 0.0 for x in vector])

    def anchor(i: int) -> float:
        scores = [
            sum(a * b for a, b in zip(directions[i], other, strict=True)) / temperature
            for other in directions
        ]
        same = [
            p
            for p in rows_with(labels, labels[i])
            if p != i and together(contexts, i, p) and weights[p] > 0.0
        ]
        if not same:
            return 0.0
        rest = (k for k in range(len(labels)) if together(contexts, i, k) and k != i)
        normalizer = log_sum(scores, weights, rest)
        return mean_over_rows(same, weights, lambda p: normalizer - scores[p])

    return mean_over_rows(range(len(labels)), weights, anchor)


def combined_contrastive(
    logits: Numbers,
    labels: Numbers,
    weights: Numbers,
    contexts: Contexts = None,
    alpha: float = 0.9,
    beta: float = 1.0,
    temperature: float = 0.1,
    *,
    hidden: Sequence[Numbers],
) -> float:
    ranking = contrastive(hidden, labels, weights, contexts, temperature)
    return alpha * bce(logits, labels, weights, beta) + (1.0 - alpha) * ranking


def pwiser(
    logits: Numbers,
    labels: Numbers,
    weights: Numbers,
    contexts: Contexts = None,
    strength: float = 0.3,
    conversion_margin: float = 0.3,
    click_margin: float = 0.1,
    beta: float = 1.0,
    *,
    conversions: Numbers,
) -> float:
    """BCE + strength * the means of squared hinges over the two kinds of pairs."""
    p = [sigmoid(z) for z in logits]
    converted = rows_with(conversions, 1.0)
    total = 0.0
    for label, margin in ((1.0, conversion_margin), (0.0, click_margin)):
        group = [k for k in rows_with(labels, label) if k not in converted]

        def hinge(c: int, k: int, margin: float = margin) -> float:
            return max(0.0, margin - (p[c] - p[k])) ** 2

        total += mean_over_pairs(converted, group, weights, contexts, hinge)
    return bce(logits, labels, weights, beta) + strength * total
