"""Rows of late labels, one after another: what a task makes of each.

A row is a tuple of (kinds, labels) by label name. `kind` names are those of the paper's
setting, spelled out here so that nothing is shared with the code under test.
"""

import math
from collections.abc import Mapping

FIRST, LATE_POSITIVE, REAL_NEGATIVE, REPEATED, SETTLED = range(5)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))


def roles(
    kinds: Mapping[str, int], labels: Mapping[str, int], task: str, given: str | None
) -> set[str]:
    """Returns which of `first`, `late` and `settled` a row is to a task."""
    if given is not None and labels[given] == 0:
        return set()
    kind, label = kinds[task], labels[task]
    if given is not None and kinds[given] == LATE_POSITIVE:
        # The row with which the impression comes into the task's population.
        found = {"first"}
        if label == 1 or kind in (REAL_NEGATIVE, SETTLED):
            found.add("settled")
        return found
    found = set()
    if kind == FIRST:
        found.add("first")
        if label == 1:
            found.add("settled")
    elif kind == SETTLED:
        found |= {"first", "settled"}
    elif kind == LATE_POSITIVE:
        found |= {"late", "settled"}
    elif kind == REAL_NEGATIVE:
        found.add("settled")
    return found


def importance(logit: float, rate: float, label: int) -> float:
    """Returns p(label) / b(label): the share of a label in the sample that losses see,
    over its share among first rows and positives that came again."""
    p = sigmoid(logit)
    masses = {1: p, 0: rate}  # of observations, for each impression
    observed = masses[label] / (masses[0] + masses[1])
    wanted = {1: p, 0: rate * sigmoid(-logit)}
    return wanted[label] / (wanted[0] + wanted[1]) / observed


def weighted_rows(
    found: set[str], label: int, logit: float, rate: float
) -> list[tuple[int, float]]:
    """Returns the (label, weight) that a row is learned from with.

    Args:
        found: its roles.
        label: of the task, as known.
        logit: the true one.
        rate: of negatives, where losses see it; else 1.
    """
    rows = []
    if "first" in found:
        # One that was kept for being positive stands for 1, and a negative for 1 / r.
        kept_anyway = rate if label == 1 else 1.0
        rows.append((0, kept_anyway * importance(logit, rate, 0)))
    if label == 1 and found & {"first", "late"}:
        rows.append((1, importance(logit, rate, 1)))
    return rows
