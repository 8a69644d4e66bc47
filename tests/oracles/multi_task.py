"""Forward passes of multi-task layers in NumPy, float64, one row at a time.

Weights are found by the names that Keras shows: `multi_task_gate_click_scores/kernel`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.oracles.networks import dense, mlp, softmax

Array = np.ndarray[Any, Any]
Weights = Mapping[str, Array]


def shared_bottom(
    x: Array, weights: Weights, tasks: Sequence[str], *, tower: int
) -> dict[str, Array]:
    return {t: mlp(x, weights, f"multi_task_tower_{t}", tower) for t in tasks}


def mixed(x: Array, experts: list[Array], weights: Weights, gate: str) -> Array:
    shares = softmax(dense(x, weights, f"{gate}_scores"))
    total = np.zeros_like(experts[0])
    for share, expert in zip(shares, experts, strict=True):
        total += share * expert
    return total


def mmoe(
    x: Array,
    weights: Weights,
    tasks: Sequence[str],
    *,
    experts: int,
    expert: int,
    tower: int,
) -> dict[str, Array]:
    made = [mlp(x, weights, f"multi_task_expert_{n}", expert) for n in range(experts)]
    out = {}
    for task in tasks:
        mixture = mixed(x, made, weights, f"multi_task_gate_{task}")
        out[task] = mlp(mixture, weights, f"multi_task_tower_{task}", tower)
    return out


def ple(
    x: Array,
    weights: Weights,
    tasks: Sequence[str],
    *,
    layers: int,
    shared_experts: int,
    task_experts: int,
    expert: int,
    tower: int,
) -> dict[str, Array]:
    state = {**dict.fromkeys(tasks, x), None: x}
    for layer in range(layers):
        name = f"multi_task_{layer}"
        made = {
            whose: [
                mlp(
                    state[whose],
                    weights,
                    f"{name}_expert_{'shared' if whose is None else f'task_{whose}'}_"
                    f"{n}",
                    expert,
                )
                for n in range(shared_experts if whose is None else task_experts)
            ]
            for whose in state
        }
        after = {
            task: mixed(
                state[task],
                made[task] + made[None],
                weights,
                f"{name}_gate_task_{task}",
            )
            for task in tasks
        }
        if layer < layers - 1:
            everything = [e for task in tasks for e in made[task]] + made[None]
            after[None] = mixed(state[None], everything, weights, f"{name}_gate_shared")
        state = after
    return {t: mlp(state[t], weights, f"multi_task_tower_{t}", tower) for t in tasks}


def probability(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def logit(p: float) -> float:
    return math.log(p) - math.log(1.0 - p)
