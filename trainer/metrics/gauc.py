"""The grouped AUC: how well a model orders the impressions of one user."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.undefined import Undefined

__all__ = ["GroupedAUC", "GroupedResult"]


@dataclass(frozen=True, kw_only=True)
class GroupedResult:
    """The grouped AUC and what it rests on.

    Attributes:
        value: the weighted mean.
        users: users that count.
        users_left_out: users whose labels are all alike.
        impression_share: weight of the impressions of users that count, as a share.
    """

    value: float
    users: int
    users_left_out: int
    impression_share: float


class GroupedAUC:
    """Mean of the users' exact AUCs, weighted by their impressions:

        GAUC = sum over users u of w_u * AUC_u / sum over users u of w_u

    with w_u the (weighted) impressions of u. A user whose labels are all alike has no
    AUC and is left out. Source: Zhu et al. 2017 (arXiv 1709.05283), equation 6; Zhou et
    al. 2018 weigh alike.

    A user's rows may lie anywhere in a set, so all rows are kept: 21 bytes each.
    """

    def __init__(self) -> None:
        self._users: list[NDArray[np.int64]] = []
        self._scores: list[NDArray[np.float32]] = []
        self._labels: list[NDArray[np.bool_]] = []
        self._weights: list[NDArray[np.float64]] = []

    def update(
        self,
        users: NDArray[np.int64],
        scores: NDArray[np.float32],
        labels: NDArray[np.float64],
        weights: NDArray[np.float64],
    ) -> None:
        """Adds rows: [B] each; scores may be any increasing function of probability."""
        self._users.append(users.copy())
        self._scores.append(scores.astype(np.float32))
        self._labels.append(labels > 0.5)
        self._weights.append(weights.copy())

    def merge(self, other: "GroupedAUC") -> None:
        """Adds the rows that `other` has seen."""
        self._users += other._users
        self._scores += other._scores
        self._labels += other._labels
        self._weights += other._weights

    def result(self) -> GroupedResult:
        """Computes the grouped AUC.

        Raises:
            Undefined: if no user has both a positive and a negative.
        """
        if not self._users:
            raise Undefined("there are no rows")
        users = np.concatenate(self._users)
        scores = np.concatenate(self._scores)
        order = np.lexsort((scores, users))
        users, scores = users[order], scores[order]
        labels = np.concatenate(self._labels)[order]
        weights = np.concatenate(self._weights)[order]

        first_of_user = _starts(users)
        first_of_tie = _starts(users, scores)
        positive = np.add.reduceat(np.where(labels, weights, 0.0), first_of_tie)
        negative = np.add.reduceat(np.where(labels, 0.0, weights), first_of_tie)
        # Sums per user run over its ties, so the ties' own user starts are needed.
        user_of_tie = np.searchsorted(first_of_tie, first_of_user)
        positives = np.add.reduceat(positive, user_of_tie)
        negatives = np.add.reduceat(negative, user_of_tie)
        below = np.cumsum(negative) - negative
        lengths = np.diff(np.append(user_of_tie, len(negative)))
        below -= np.repeat(below[user_of_tie], lengths)
        areas = np.add.reduceat(positive * (below + negative / 2.0), user_of_tie)
        return _mean(areas, positives, negatives)


def _mean(
    areas: NDArray[np.float64],
    positives: NDArray[np.float64],
    negatives: NDArray[np.float64],
) -> GroupedResult:
    both = (positives > 0.0) & (negatives > 0.0)
    if not both.any():
        raise Undefined("no user has both a positive and a negative")
    impressions = positives + negatives
    auc = areas[both] / (positives[both] * negatives[both])
    counted = impressions[both]
    return GroupedResult(
        value=float(np.dot(auc, counted) / counted.sum()),
        users=int(both.sum()),
        users_left_out=int((~both).sum()),
        impression_share=float(counted.sum() / impressions.sum()),
    )


def _starts(*sorted_columns: NDArray[np.generic]) -> NDArray[np.int64]:
    """Returns the index of the first row of each run of equal values."""
    changed = np.zeros(len(sorted_columns[0]), bool)
    changed[0] = True
    for column in sorted_columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)
