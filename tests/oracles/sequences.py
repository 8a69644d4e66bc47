"""Networks over behaviour sequences in NumPy, float64: one row, a behaviour at a time.

n behaviours, oldest first, without padding: [n, D], the d columns that are shared with
the item first.
"""

from typing import Any

import numpy as np

from tests.oracles.networks import (
    Array,
    Weights,
    dense,
    self_attention,
    softmax,
    target_weights,
)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


def softplus(x: float) -> float:
    return max(x, 0.0) + float(np.log1p(np.exp(-abs(x))))


def recurrence(values: Array, scales: Any, weights: Weights, name: str) -> Array:
    """The state after each behaviour: a GRU whose updates are scaled."""
    kernel, recurrent, bias = (
        np.asarray(weights[f"{name}/{part}"], np.float64)
        for part in ("kernel", "recurrent", "bias")
    )
    h = recurrent.shape[0]
    state, states = np.zeros(h), []
    for x, scale in zip(values, scales, strict=True):
        update = scale * sigmoid(
            x @ kernel[:, :h] + state @ recurrent[:, :h] + bias[:h]
        )
        reset = sigmoid(
            x @ kernel[:, h : 2 * h] + state @ recurrent[:, h : 2 * h] + bias[h : 2 * h]
        )
        candidate = np.tanh(
            x @ kernel[:, 2 * h :]
            + reset * (state @ recurrent[:, 2 * h :])
            + bias[2 * h :]
        )
        state = (1.0 - update) * state + update * candidate
        states.append(state)
    return np.asarray(states).reshape(-1, h)


def dien(behaviours: Array, target: Array, weights: Weights, name: str) -> Array:
    states = recurrence(
        behaviours, np.ones(len(behaviours)), weights, f"{name}_extractor"
    )
    if not len(states):
        return np.zeros(states.shape[1])
    query = dense(target, weights, f"{name}_query")
    attention = softmax(states @ query)
    return np.asarray(recurrence(states, attention, weights, f"{name}_evolution")[-1])


def tin(behaviours: Array, target: Array, weights: Weights, name: str) -> Array:
    d, n = len(target), len(behaviours)
    positions = np.asarray(weights[f"{name}/positions"], np.float64)
    item = target + positions[0]
    if not n:
        return np.zeros(behaviours.shape[1] + d)
    # The last behaviour is the first before the item.
    known = [behaviours[k, :d] + positions[n - k] for k in range(n)]
    attention = softmax(np.asarray([x @ item / np.sqrt(d) for x in known]))
    interest = sum(a * x for a, x in zip(attention, known, strict=True))
    others = sum(a * x for a, x in zip(attention, behaviours[:, d:], strict=True))
    return np.concatenate([interest, interest * item, others])


def attended_mean(behaviours: Array, weights: Weights, name: str) -> Array:
    n = len(behaviours)
    if not n:
        return np.zeros(weights[f"{name}_value/kernel"].shape[1])
    there = np.ones(n, bool)
    return np.asarray(
        self_attention(behaviours, there, weights, name, causal=False).mean(axis=0)
    )


def _path(
    window: Array, target: Array, weights: Weights, name: str, part: str, config: Any
) -> Array:
    """The vector of a path, by what the path is to lead to."""
    n, there = len(window), np.ones(len(window), bool)
    if not n:
        return np.zeros(window.shape[1])
    unit = target_weights(
        window[:, : len(target)], target, there, weights, f"{name}_{part}_unit"
    )
    active = window * unit[:, np.newaxis]
    padded = np.zeros((config.path_length, window.shape[1]))
    padded[config.path_length - n :] = active
    hidden = dense(
        padded.reshape(-1), weights, f"{name}_{part}_router_hidden", relu=True
    )
    places = dense(hidden, weights, f"{name}_{part}_router_places")
    shares = softmax(places[config.path_length - n :])
    chosen = np.argsort(-shares)[: config.kept]
    return np.asarray(sum(shares[k] * active[k] for k in chosen))


def past_paths(
    behaviours: Array, whole: Array, d: int, weights: Weights, name: str, config: Any
) -> tuple[list[Array], list[Array]]:
    """The vectors of the past paths, most recent first, and what followed them in the
    `whole` sequence, of which `behaviours` may be a part."""
    vectors, following = [], []
    end = len(behaviours) - 1
    while end >= 1 and len(vectors) < config.max_paths:
        window = behaviours[max(0, end - config.path_length) : end]
        following.append(whole[end])
        target = whole[end][:d]
        vectors.append(_path(window, target, weights, name, "past", config))
        end -= config.stride
    return vectors, following


def dbpman(
    behaviours: Array, target: Array, weights: Weights, name: str, config: Any
) -> Array:
    d, total = len(target), behaviours.shape[1]
    paths, following = past_paths(behaviours, behaviours, d, weights, name, config)
    last = behaviours[max(0, len(behaviours) - config.path_length) :]
    current = _path(last, target, weights, name, "current", config)
    if not paths:
        return np.concatenate([np.zeros(3 * total), current])
    there = np.ones(len(paths), bool)
    known, followed = np.asarray(paths), np.asarray(following)
    matching = target_weights(known, current, there, weights, f"{name}_matching_unit")
    leading = target_weights(
        followed[:, :d], target, there, weights, f"{name}_following_unit"
    )
    leading = leading + known @ current
    return np.concatenate(
        [
            softmax(matching) @ known,
            softmax(leading) @ followed,
            known.mean(axis=0),
            current,
        ]
    )
