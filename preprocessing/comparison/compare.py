"""Every difference of two example sets, and whether it is beyond a limit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from configs.distributions import Histogram, bin_edges
from configs.drift import Drift, DriftLimits
from preprocessing.comparison.distances import (
    Cells,
    Floats,
    Integers,
    categorical_cells,
    jensen_shannon,
    numeric_cells,
    psi,
    psi_by_chance,
)
from preprocessing.comparison.example_sets import ExampleSet

__all__ = ["Comparison", "Difference", "InputDrift", "compare"]

Level = Literal["", "warn", "fail"]


@dataclass(frozen=True)
class Difference:
    """One figure of two sets.

    Attributes:
        what: it is of (`label click`, `price`).
        measure: the name of its limit.
        before: in the earlier set, None for figures that are of both sets together.
        after: in the later one; or the figure of both.
        size: what is held against the limit.
        level: whether it is beyond one.
        limit: that it is beyond, else None.
    """

    what: str
    measure: str
    before: float | None
    after: float
    size: float
    level: Level = ""
    limit: float | None = None


@dataclass(frozen=True)
class InputDrift:
    """How an input changed: its cells for plots, and the number of distinct values."""

    name: str
    cells: Cells
    distinct: tuple[int, int] | None = None


@dataclass
class Comparison:
    """Two sets, the later against the earlier.

    Attributes:
        before: name of the earlier.
        after: name of the later.
        differences: all figures, in order.
        inputs: how each input changed, by name.
        notes: what could not be compared.
    """

    before: str
    after: str
    differences: list[Difference] = field(default_factory=list)
    inputs: dict[str, InputDrift] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def level(self) -> Level:
        """The worst of the differences."""
        levels = {difference.level for difference in self.differences}
        return "fail" if "fail" in levels else "warn" if "warn" in levels else ""


def compare(
    before: ExampleSet,
    after: ExampleSet,
    drift: Drift,
    names: dict[int, str] | None = None,
) -> Comparison:
    """Compares two example sets.

    Args:
        before: the earlier.
        after: the later.
        drift: the limits.
        names: texts of values, by fingerprint, as far as they are known.
    """
    found = Comparison(before.name, after.name)
    figures = [*_counts(before, after), *_labels(before, after)]
    for name in _shared(before.categorical, after.categorical, found):
        figures += _categorical(found, name, before, after, names or {})
    numeric = list(before.statistics.numeric), list(after.statistics.numeric)
    for name in _shared(*numeric, found):
        figures += _numeric(found, name, before, after)
    figures += _empty_lists(before, after)
    found.differences = [_judged(figure, drift) for figure in figures]
    return found


def _judged(figure: Difference, drift: Drift) -> Difference:
    if figure.what in drift.ignore:
        return figure
    levels: tuple[tuple[Level, DriftLimits], ...] = (
        ("fail", drift.fail),
        ("warn", drift.warn),
    )
    for level, limits in levels:
        limit = getattr(limits, figure.measure, None)
        if limit is not None and figure.size > limit:
            return Difference(
                figure.what,
                figure.measure,
                figure.before,
                figure.after,
                figure.size,
                level,
                limit,
            )
    return figure


def _relative(before: float, after: float) -> float:
    if before == after:
        return 0.0
    return abs(after - before) / before if before > 0 else float("inf")


def _of_shares(what: str, measure: str, shares: list[float]) -> Difference:
    return Difference(what, measure, shares[0], shares[1], abs(shares[1] - shares[0]))


def _counts(before: ExampleSet, after: ExampleSet) -> Iterator[Difference]:
    one, other = before.manifest, after.manifest
    logs = sorted({n for n in one.counters | other.counters if n.endswith(".read")})
    logs.sort(key=lambda name: name != "impressions.read")
    for name in logs:
        a, b = one.counters.get(name, 0), other.counters.get(name, 0)
        log = name.removesuffix(".read")
        measure = "rows" if log == "impressions" else "count"
        yield Difference(f"{log} read", measure, a, b, _relative(a, b))
        shares = []
        for manifest, rows in ((one, a), (other, b)):
            dead = sum(
                count
                for key, count in manifest.dead_letters.items()
                if key.rpartition(".")[0] == log
            )
            shares.append(dead / max(rows, 1))
        yield _of_shares(f"{log} dead", "dead", shares)
    for split in other.splits:
        a = one.splits[split].rows if split in one.splits else 0
        b = other.splits[split].rows
        yield Difference(f"{split} examples", "count", a, b, _relative(a, b))


def _labels(before: ExampleSet, after: ExampleSet) -> Iterator[Difference]:
    one, other = before.label_rates(), after.label_rates()
    for name in other:
        if name in one:
            a, b = one[name], other[name]
            change = max(abs(b - a) - 2.0 * _error(before, after, a, b), 0.0)
            size = change / a if a > 0 else float("inf") if change else 0.0
            yield Difference(f"label {name}", "label_rate", a, b, size)


def _error(before: ExampleSet, after: ExampleSet, a: float, b: float) -> float:
    """Returns the standard error of the difference of two rates of one truth."""
    rows = [max(part.training_rows, 1.0) for part in (before, after)]
    rate = (a * rows[0] + b * rows[1]) / sum(rows)
    return math.sqrt(rate * (1.0 - rate) * (1.0 / rows[0] + 1.0 / rows[1]))


def _shared(one: list[str], other: list[str], found: Comparison) -> list[str]:
    for name in sorted(set(one) ^ set(other)):
        where = found.before if name in one else found.after
        found.notes.append(f"{name} is in {where} only")
    return [name for name in other if name in one]


def _categorical(
    found: Comparison,
    name: str,
    before: ExampleSet,
    after: ExampleSet,
    names: dict[int, str],
) -> Iterator[Difference]:
    one, other = before.counts(name), after.counts(name)
    cells = categorical_cells(one, other, names)
    distinct = len(one.values), len(other.values)
    found.inputs[name] = InputDrift(name, cells, distinct)
    if _is_scalar(name, after):
        shares = [one.missing_share, other.missing_share]
        yield _of_shares(name, "missing", shares)
    fresh = other.share_new_to(one)
    yield Difference(name, "new_values", None, fresh, fresh)
    yield from _distances(name, cells)


def _numeric(
    found: Comparison, name: str, before: ExampleSet, after: ExampleSet
) -> Iterator[Difference]:
    one, other = (s.statistics.numeric[name] for s in (before, after))
    shares = [
        part.missing_weight / max(part.weight + part.missing_weight, 1e-300)
        for part in (one, other)
    ]
    yield _of_shares(name, "missing", shares)
    yield Difference(name, "mean", one.mean, other.mean, abs(other.mean - one.mean))
    histograms = []
    for part in (before, after):
        known = part.distributions
        if known is None or name not in known.numeric:
            found.notes.append(
                f"{part.name} was made before histograms were kept: {name} is compared"
                " by its mean alone"
            )
            return
        histograms.append(known.numeric[name])
    cells = numeric_cells(
        _arrays(histograms[0]),
        _arrays(histograms[1]),
        (one.missing_weight, other.missing_weight),
        {n: f"{bin_edges(n)[0]:.3g}" for h in histograms for n in h.bins},
    )
    found.inputs[name] = InputDrift(name, cells)
    yield from _distances(name, cells)


def _distances(name: str, cells: Cells) -> Iterator[Difference]:
    index = psi(cells)
    size = max(index - psi_by_chance(cells), 0.0)
    yield Difference(name, "psi", None, index, size)
    divergence = jensen_shannon(cells)
    yield Difference(name, "jensen_shannon", None, divergence, divergence)


def _empty_lists(before: ExampleSet, after: ExampleSet) -> Iterator[Difference]:
    one, other = before.distributions, after.distributions
    if one is None or other is None:
        return
    for name in other.empty:
        if name in one.empty:
            a = one.empty[name] / max(one.weight, 1e-300)
            b = other.empty[name] / max(other.weight, 1e-300)
            yield Difference(name, "missing", a, b, abs(b - a))


def _is_scalar(name: str, found: ExampleSet) -> bool:
    """Whether an input has one value a row; of lists the rows without any are known."""
    lists = found.distributions.empty if found.distributions is not None else {}
    return name not in lists and "." not in name


def _arrays(histogram: Histogram) -> tuple[Integers, Floats]:
    return (
        np.array(histogram.bins, np.int64),
        np.array(histogram.weights, np.float64),
    )
