"""Feature interactions in NumPy, float64: every pair by itself, row by row."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from tests.oracles.networks import dense, mlp, softmax

Array = np.ndarray[Any, Any]
Weights = Mapping[str, Array]


def pairs(fields: list[Array]) -> float:
    return float(sum(v @ w for v, w in combinations(fields, 2)))


def weighted_pairs(fields: list[Array], weights: Array) -> float:
    products = [v @ w for v, w in combinations(fields, 2)]
    return float(np.asarray(products) @ np.asarray(weights, np.float64))


def part_pairs(fields: list[Array], parts: list[int], weights: Array) -> float:
    """Weights are of the pairs of parts in order, without those that never occur."""
    count = max(parts) + 1
    occurring = sorted(
        {(min(p, q), max(p, q)) for p, q in combinations(parts, 2)},
    )
    r = dict(zip(occurring, np.asarray(weights, np.float64), strict=True))
    total = 0.0
    for i, j in combinations(range(len(fields)), 2):
        for_j = fields[i].reshape(count, -1)[parts[j]]
        for_i = fields[j].reshape(count, -1)[parts[i]]
        pair = (min(parts[i], parts[j]), max(parts[i], parts[j]))
        total += float(r[pair] * (for_j @ for_i))
    return total


def inner_products(fields: list[Array]) -> Array:
    return np.asarray([v @ w for v, w in combinations(fields, 2)])


def low_rank_cross(x0: Array, x: Array, weights: Weights, name: str) -> Array:
    inner = dense(x, weights, f"{name}_down")
    return x0 * dense(inner, weights, f"{name}_up") + x


def cross_mixture(
    x0: Array, x: Array, weights: Weights, name: str, experts: int
) -> Array:
    """Each expert for itself, as in equation 4 of the paper; its b is added to each."""
    gate = softmax(dense(x, weights, f"{name}_gate"))
    down = np.asarray(weights[f"{name}_down/kernel"], np.float64)
    up = np.asarray(weights[f"{name}_up/kernel"], np.float64)
    middle = np.asarray(weights[f"{name}/middle"], np.float64)
    rank = down.shape[1] // experts
    out = x
    for e in range(experts):
        here = slice(e * rank, (e + 1) * rank)
        inner = np.tanh(np.tanh(x @ down[:, here]) @ middle[e])
        expert = x0 * (inner @ up[here] + weights[f"{name}_up/bias"])
        out = out + gate[e] * expert
    return out


def normalized(x: Array) -> Array:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def mask_block(embeddings: Array, x: Array, weights: Weights, name: str) -> Array:
    hidden = dense(embeddings, weights, f"{name}_mask_0", relu=True)
    masked = x * dense(hidden, weights, f"{name}_mask_1")
    out = normalized(dense(masked, weights, f"{name}_dense"))
    scale, offset = weights[f"{name}_norm/gamma"], weights[f"{name}_norm/beta"]
    return np.maximum(out * scale + offset, 0.0)


def masknet(fields: list[Array], weights: Weights, serial: bool, count: int) -> Array:
    """`count` blocks; parallel ones are followed by an MLP of two layers."""
    embeddings = np.concatenate(fields)
    scale = weights["backbone_norm/scale"]
    offset = weights["backbone_norm/offset"]
    first = np.concatenate(
        [normalized(v) * scale[k] + offset[k] for k, v in enumerate(fields)]
    )
    if serial:
        x = first
        for number in range(count):
            x = mask_block(embeddings, x, weights, f"backbone_block_{number}")
        return x
    blocks = [
        mask_block(embeddings, first, weights, f"backbone_block_{number}")
        for number in range(count)
    ]
    return mlp(np.concatenate(blocks), weights, "backbone_hidden", 2)


def part_products(fields: list[Array], parts: list[int], weights: Array) -> Array:
    """As `part_pairs`, with the products of the coordinates not summed."""
    width = len(fields[0]) // (max(parts) + 1)
    total = np.zeros(width)
    for k in range(width):
        of_k = [v.reshape(-1, width)[:, k] for v in fields]
        total[k] = part_pairs(of_k, parts, weights)
    return total
