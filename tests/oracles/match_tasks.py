"""UIM's and NIP's contrastive sums as loops over Python numbers."""

import math
from collections.abc import Sequence

Vector = Sequence[float]


def cosine(a: Vector, b: Vector) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    if lengths < 1e-12:
        return 0.0
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths


def direction(
    own: Sequence[Vector],
    others: Sequence[Vector],
    askers: Sequence[int],
    answerers: Sequence[int],
    ids: Sequence[int] | None,
    temperature: float,
) -> float:
    """-sum_i log( e(i, i) / sum_j e(i, j) ), i over askers and j over answerers;
    j with the id of i are left out, but for i itself."""
    total = 0.0
    for i in askers:
        below = 0.0
        for j in answerers:
            if ids is None or j == i or ids[i] != ids[j]:
                below += math.exp(cosine(own[i], others[j]) / temperature)
        total -= cosine(own[i], others[i]) / temperature - math.log(below)
    return total


def uim(
    users: Sequence[Vector],
    items: Sequence[Vector],
    labels: Sequence[float],
    user_ids: Sequence[int] | None,
    item_ids: Sequence[int] | None,
    temperature: float,
) -> float:
    positives = [i for i, y in enumerate(labels) if y == 1.0]
    if not positives:
        return 0.0
    everyone = range(len(labels))
    total = direction(users, items, positives, everyone, item_ids, temperature)
    total += direction(items, users, positives, everyone, user_ids, temperature)
    return total / len(positives)


def nip(
    states: Sequence[Sequence[Vector]],
    targets: Sequence[Sequence[Vector]],
    lengths: Sequence[int],
    user_ids: Sequence[int] | None,
    item_ids: Sequence[Sequence[int]] | None,
    temperature: float,
    most: int = 10**9,
) -> float:
    """states[i][k] is r after k + 1 behaviours, targets[i][k] the embedding of number
    k + 1 (from 0); lengths count behaviours. Blocks hold `most` histories at most."""
    total, count = 0.0, 0
    for k in range(max(lengths, default=1) - 1):
        valid = [i for i, n in enumerate(lengths) if n > k + 1]
        own = [s[k] for s in states]
        others = [t[k] for t in targets]
        items = None if item_ids is None else [row[k] for row in item_ids]
        blocks = -(-len(valid) // most)
        for block in range(blocks):
            here = [
                i
                for rank, i in enumerate(valid)
                if rank * blocks // len(valid) == block
            ]
            total += direction(own, others, here, here, items, temperature)
            total += direction(others, own, here, here, user_ids, temperature)
        count += len(valid)
    return total / count if count else 0.0
