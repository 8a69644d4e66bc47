"""Forward passes in NumPy, float64, row by row: what the layers are compared with."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Weights = Mapping[str, Array]


def log1p(x: float) -> float:
    return float(np.sign(x) * np.log1p(abs(x)))


def log2_bucket(x: float) -> int:
    """sign(x) * floor(log2(1 + |x|)), at most +-31; row 0 is for missing values."""
    if np.isnan(x):
        return 0
    magnitude = 0
    while magnitude < 31 and 1.0 + abs(float(x)) >= 2.0 ** (magnitude + 1):
        magnitude += 1
    return 1 + 31 + (magnitude if x > 0 else -magnitude)


def bucket(x: float, boundaries: list[float]) -> int:
    return 0 if np.isnan(x) else 1 + sum(b <= x for b in boundaries)


def dense(x: Array, weights: Weights, name: str, relu: bool = False) -> Array:
    out = x @ np.asarray(weights[f"{name}/kernel"], np.float64)
    if f"{name}/bias" in weights:
        out = out + weights[f"{name}/bias"]
    return np.maximum(out, 0.0) if relu else out


def mean_pool(values: Array, mask: Array) -> Array:
    return values[mask].mean(axis=0) if mask.any() else np.zeros(values.shape[1])


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def self_attention(
    values: Array, mask: Array, weights: Weights, name: str, causal: bool
) -> Array:
    """[L, D] -> [L, d], a query and a key at a time."""
    query = dense(values, weights, f"{name}_query")
    key = dense(values, weights, f"{name}_key")
    value = dense(values, weights, f"{name}_value")
    out = np.zeros_like(value)
    for i in np.flatnonzero(mask):
        seen = [j for j in np.flatnonzero(mask) if j <= i or not causal]
        scores = np.array([query[i] @ key[j] for j in seen])
        for share, j in zip(softmax(scores / np.sqrt(key.shape[1])), seen, strict=True):
            out[i] += share * value[j]
    return out


def target_weights(
    behaviours: Array, target: Array, mask: Array, weights: Weights, name: str
) -> Array:
    """DIN's activation unit with one matrix for h, one for t and one for h * t."""
    out = np.zeros(len(mask))
    for k in np.flatnonzero(mask):
        h = behaviours[k]
        hidden = (
            dense(h, weights, f"{name}_behaviour")
            + dense(target, weights, f"{name}_target")
            + dense(h * target, weights, f"{name}_product")
        )
        hidden = np.maximum(hidden, 0.0)
        layers = sorted(
            key for key in weights if key.startswith(f"{name}_mlp_") and "kernel" in key
        )
        for number in range(len(layers)):
            hidden = dense(
                hidden, weights, f"{name}_mlp_{number}", relu=number < len(layers) - 1
            )
        out[k] = hidden[0]
    return out


def mlp(x: Array, weights: Weights, name: str, count: int) -> Array:
    for number in range(count):
        x = dense(x, weights, f"{name}_{number}", relu=True)
    return x


def cross(x0: Array, weights: Weights, name: str, count: int) -> Array:
    x = x0
    for number in range(count):
        x = x0 * dense(x, weights, f"{name}_{number}_dense") + x
    return x
