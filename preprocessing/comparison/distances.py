"""How far two distributions are apart, both given as weights of the same cells."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Cells",
    "Counts",
    "Floats",
    "Integers",
    "categorical_cells",
    "jensen_shannon",
    "numeric_cells",
    "psi",
    "psi_by_chance",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_TOP_VALUES = 50
_NUMERIC_CELLS = 20


@dataclass(frozen=True)
class Counts:
    """The values of a categorical input.

    Attributes:
        values: fingerprints, rising, [n]; the missing value is not among them.
        weights: of the values, [n].
        missing: weight of the missing value.
    """

    values: Integers
    weights: Floats
    missing: float

    @property
    def missing_share(self) -> float:
        """Share of the weight that is missing."""
        total = float(self.weights.sum()) + self.missing
        return self.missing / total if total > 0 else 0.0

    def of(self, values: Integers) -> Floats:
        """Returns the weights of some values, 0 where they do not occur."""
        if not len(self.values):
            return np.zeros(len(values))
        places = np.searchsorted(self.values, values)
        places = np.minimum(places, len(self.values) - 1)
        return np.where(self.values[places] == values, self.weights[places], 0.0)

    def share_new_to(self, before: "Counts") -> float:
        """Returns the share of the weight whose values do not occur in an earlier
        set."""
        total = float(self.weights.sum())
        known = np.isin(self.values, before.values, assume_unique=True)
        return float(self.weights[~known].sum()) / total if total > 0 else 0.0


@dataclass(frozen=True)
class Cells:
    """Two distributions over the same cells.

    Attributes:
        names: of the cells, [n].
        before: weights of the earlier set, [n].
        after: weights of the later set, [n].
    """

    names: list[str]
    before: Floats
    after: Floats

    def largest_changes(self, count: int) -> list[tuple[str, float, float]]:
        """Returns name and both shares of the cells whose shares differ most."""
        sums = (max(float(w.sum()), 1e-300) for w in (self.before, self.after))
        a, b = (w / s for w, s in zip((self.before, self.after), sums, strict=True))
        order = np.argsort(-np.abs(b - a), kind="stable")[:count]
        found = [(self.names[n], float(a[n]), float(b[n])) for n in order]
        return [change for change in found if change[1] != change[2]]


def psi(cells: Cells) -> float:
    """Returns the population stability index: the sum over cells of
    (b - a) ln(b / a), for shares a before and b after.

    Each cell has half a row more than was counted, so that an empty one is finite.
    """
    before, after = cells.before + 0.5, cells.after + 0.5
    a, b = before / before.sum(), after / after.sum()
    return float(((b - a) * np.log(b / a)).sum())


def psi_by_chance(cells: Cells) -> float:
    """Returns the index that two samples of one distribution have on average, to the
    first order: (cells - 1) (1 / rows before + 1 / rows after)."""
    used = int(((cells.before > 0) | (cells.after > 0)).sum())
    rows = cells.before.sum(), cells.after.sum()
    if min(rows) <= 0:
        return 0.0
    return float(max(used - 1, 0) * (1.0 / rows[0] + 1.0 / rows[1]))


def jensen_shannon(cells: Cells) -> float:
    """Returns the Jensen-Shannon divergence in bits, 0 (equal) to 1 (no cell in
    common): the mean of the divergences of both from their mean."""
    if min(cells.before.sum(), cells.after.sum()) <= 0:
        return 0.0
    a, b = cells.before / cells.before.sum(), cells.after / cells.after.sum()
    middle = (a + b) / 2.0
    total = 0.0
    for part in (a, b):
        some = part > 0
        total += float((part[some] * np.log2(part[some] / middle[some])).sum()) / 2.0
    return max(total, 0.0)


def categorical_cells(before: Counts, after: Counts, names: dict[int, str]) -> Cells:
    """Returns a cell for each of the 50 most frequent values of either set, one for all
    others, and one for missing values.

    Args:
        before: counts of the earlier set.
        after: counts of the later one.
        names: texts of values, by fingerprint, as far as they are known.
    """
    tops = [
        counts.values[np.argsort(-counts.weights, kind="stable")[:_TOP_VALUES]]
        for counts in (before, after)
    ]
    top = list(dict.fromkeys(np.concatenate(tops).tolist()))
    weights = []
    for counts in (before, after):
        found = counts.of(np.array(top, np.int64))
        others = max(float(counts.weights.sum() - found.sum()), 0.0)
        weights.append(np.append(found, [others, counts.missing]))
    called = [names.get(value, f"#{value:016x}") for value in top]
    return Cells([*called, "others", "missing"], *weights)


def numeric_cells(
    before: tuple[Integers, Floats],
    after: tuple[Integers, Floats],
    missing: tuple[float, float],
    name_of: dict[int, str],
) -> Cells:
    """Returns cells of neighboring bins that hold a twentieth of the earlier set each,
    as far as bins allow, and one for missing values.

    Args:
        before: bins, rising, and their weights.
        after: the same of the later set.
        missing: weights of missing values before and after.
        name_of: how to call a cell that begins with a bin.
    """
    bins = np.union1d(before[0], after[0])
    dense = []
    for numbers, weights in (before, after):
        row = np.zeros(len(bins))
        row[np.searchsorted(bins, numbers)] = weights
        dense.append(row)
    reference = dense[0] if dense[0].sum() > 0 else dense[1]
    reached = np.cumsum(reference) - reference
    cell = np.floor(reached / max(reference.sum(), 1e-300) * _NUMERIC_CELLS)
    _, first, place = np.unique(cell, return_index=True, return_inverse=True)
    names = [*(name_of[int(bins[n])] for n in first), "missing"]
    sums = [
        np.append(np.bincount(place, weights=row, minlength=len(first)), absent)
        for row, absent in zip(dense, missing, strict=True)
    ]
    return Cells(names, *sums)
