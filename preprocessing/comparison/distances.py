"""How far two distributions are apart, both given as weights of the same cells."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Cells",
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


def categorical_cells(
    before: dict[int, float], after: dict[int, float], missing: int
) -> Cells:
    """Returns a cell for each of the 50 most frequent values of either set, one for all
    others, and one for missing values.

    Args:
        before: weights by fingerprint.
        after: the same of the later set.
        missing: fingerprint of the missing value.
    """
    top: dict[int, None] = {}
    for counts in (before, after):
        known = [value for value in counts if value != missing]
        known.sort(key=lambda value: (-counts[value], value))
        top.update(dict.fromkeys(known[:_TOP_VALUES]))
    weights = []
    for counts in (before, after):
        found = [counts.get(value, 0.0) for value in top]
        absent = counts.get(missing, 0.0)
        others = max(sum(counts.values()) - sum(found) - absent, 0.0)
        weights.append(np.array([*found, others, absent]))
    return Cells([*(f"{v:016x}" for v in top), "others", "missing"], *weights)


def numeric_cells(
    before: tuple[Integers, Floats],
    after: tuple[Integers, Floats],
    missing: tuple[float, float],
    name_of: "dict[int, str]",
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
