"""The losses of DMR, DeepMCP and CL4CTR as loops over Python numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.oracles import networks

Vector = Sequence[float]
Array = np.ndarray[Any, Any]
Weights = dict[str, Array]


def dot(a: Vector, b: Vector) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def square_distance(a: Vector, b: Vector) -> float:
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def minus_log_sigmoid(x: float) -> float:
    return math.log(1.0 + math.exp(-x))


def dmr_user(behaviours: Array, weights: Weights) -> Array:
    """u of the T - 1 behaviours before the last one, the oldest first."""
    name = "auxiliary_dmr"
    scores = []
    for t, behaviour in enumerate(behaviours):
        place = weights[f"{name}/places"][len(behaviours) - 1 - t]
        hidden = networks.dense(place, weights, f"{name}_place")
        hidden = hidden + networks.dense(behaviour, weights, f"{name}_behaviour")
        scores.append(networks.dense(np.tanh(hidden), weights, f"{name}_score")[0])
    mean = np.zeros(behaviours.shape[1])
    for share, behaviour in zip(
        networks.softmax(np.array(scores)), behaviours, strict=True
    ):
        mean = mean + share * behaviour
    user = networks.dense(mean, weights, f"{name}_user")
    slopes = weights[f"{name}/slopes"]
    return np.array([x if x > 0 else s * x for x, s in zip(user, slopes, strict=True)])


def dmr(
    users: Sequence[Vector],
    vectors: Sequence[Vector],
    items: Sequence[int],
    drawn: Sequence[int],
    masked: bool,
) -> float:
    """drawn are places among the rows with a target."""
    total = 0.0
    for user, vector, item in zip(users, vectors, items, strict=True):
        total += minus_log_sigmoid(dot(user, vector))
        for j in drawn:
            if not (masked and items[j] == item):
                total += minus_log_sigmoid(-dot(user, vectors[j]))
    return total / len(users) if users else 0.0


def matching(
    users: Sequence[Vector], items: Sequence[Vector], labels: Sequence[float]
) -> float:
    total = 0.0
    for user, item, label in zip(users, items, labels, strict=True):
        product = dot(user, item)
        total += minus_log_sigmoid(product if label == 1.0 else -product)
    return total / len(labels)


def correlation(
    histories: Sequence[Sequence[tuple[Vector, int]]],
    drawn: Array,
    window: int,
    masked: bool,
) -> float:
    """histories hold vectors and items; drawn are places among the behaviours of all
    histories, [offset, behaviour, negative]."""
    everyone = [behaviour for history in histories for behaviour in history]
    offsets = [x for x in range(-window, window + 1) if x != 0]
    total, pairs, number = 0.0, 0, -1
    for history in histories:
        for i, (center, item) in enumerate(history):
            number += 1
            for row, offset in enumerate(offsets):
                if not 0 <= i + offset < len(history):
                    continue
                pairs += 1
                other, other_item = history[i + offset]
                total += minus_log_sigmoid(dot(other, center))
                for q in drawn[row][number]:
                    vector, negative = everyone[q]
                    if not (masked and negative in (item, other_item)):
                        total += minus_log_sigmoid(-dot(vector, center))
    return total / pairs if pairs else 0.0


def normalized(x: Array, weights: Weights, name: str) -> Array:
    scaled = (x - x.mean()) / math.sqrt(x.var() + 1e-5)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def encoded(features: Array, weights: Weights, name: str, layers: int) -> Array:
    """A transformer encoder over the features [F, d] of a row, then flat."""
    everyone = np.ones(len(features), bool)
    for k in range(layers):
        part = f"{name}_encoder_{k}"
        attended = networks.self_attention(
            features, everyone, weights, part, causal=False
        )
        features = np.stack(
            [
                normalized(x + a, weights, f"{part}_attended")
                for x, a in zip(features, attended, strict=True)
            ]
        )
        rows = []
        for x in features:
            inner = networks.dense(x, weights, f"{part}_inner", relu=True)
            outer = networks.dense(inner, weights, f"{part}_outer")
            rows.append(normalized(x + outer, weights, f"{part}_normal"))
        features = np.stack(rows)
    return features.reshape(-1)


def contrastive(first: Sequence[Vector], second: Sequence[Vector]) -> float:
    total = 0.0
    for a, b in zip(first, second, strict=True):
        total += square_distance(a, b)
    return total / len(first)


def alignment(fields: Sequence[Sequence[Vector]]) -> float:
    total, pairs = 0.0, 0
    for vectors in fields:
        for a in vectors:
            for b in vectors:
                total += sum(
                    (float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)
                )
                pairs += 1
    return total / pairs


def uniformity(fields: Sequence[Sequence[Vector]]) -> float:
    total, pairs = 0.0, 0
    for f, vectors in enumerate(fields):
        for g, others in enumerate(fields):
            for a in vectors if f != g else []:
                for b in others:
                    total += dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))
                    pairs += 1
    return total / pairs
