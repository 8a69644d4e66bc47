"""The losses that DIEN and DBPMaN bring along, a prediction at a time, in NumPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.oracles.networks import Array, Weights, dense
from tests.oracles.sequences import past_paths, recurrence, softplus


def next_behaviour(
    histories: Sequence[Array],
    items: Sequence[Sequence[int]],
    steps: Sequence[int],
    width: int,
    weights: Weights,
) -> float:
    """`steps` tells for each prediction how far behind it its other behaviour stands
    among all that are predicted; histories are [n, D] with the `width` columns of their
    categorical fields first. One hidden layer."""
    predictions = []
    for behaviours, ids in zip(histories, items, strict=True):
        states = recurrence(
            behaviours,
            np.ones(len(behaviours)),
            weights,
            "backbone_interest_history_extractor",
        )
        for k in range(len(behaviours) - 1):
            predictions.append((states[k], behaviours[k + 1, :width], ids[k + 1]))

    def logit(state: Array, behaviour: Array) -> float:
        x = np.concatenate([state, behaviour])
        hidden = dense(x, weights, "auxiliary_dien_history_0", relu=True)
        return float(dense(hidden, weights, "auxiliary_dien_history_1")[0])

    total = 0.0
    for place, (state, behaviour, item) in enumerate(predictions):
        total += softplus(-logit(state, behaviour))
        other = predictions[(place + steps[place]) % len(predictions)]
        if other[2] != item:
            total += softplus(logit(state, other[1]))
    return total / len(predictions) if predictions else 0.0


def path_contrast(
    histories: Sequence[Array],
    seen: tuple[Any, Any],
    item_width: int,
    shared: int,
    weights: Weights,
    config: Any,
) -> float:
    """`seen` [U, L] of two views tells whose items these see; the histories are
    distinct, with two behaviours or more, their items in the first columns."""
    views: list[list[list[Array]]] = []
    for part in seen:
        views.append([])
        for behaviours, keeps in zip(histories, part, strict=True):
            known = behaviours.copy()
            known[~np.asarray(keeps)[: len(known)], :item_width] = 0.0
            name = "backbone_paths_history"
            vectors, _ = past_paths(known, behaviours, shared, weights, name, config)
            views[-1].append(
                [v / max(float(np.linalg.norm(v)), 1e-12) for v in vectors]
            )

    def likeness(i: int, j: int) -> float:
        # A path that one of both lacks adds nothing.
        pairs = zip(views[0][i], views[1][j], strict=False)
        return float(sum(p @ q for p, q in pairs))

    total = 0.0
    for i in range(len(histories)):
        row = np.array([likeness(i, j) for j in range(len(histories))])
        total += np.log(np.exp(row - row.max()).sum()) + row.max() - row[i]
    return total / len(histories) if histories else 0.0
