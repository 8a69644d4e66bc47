"""Statistics of the inputs on the training split, merged over buckets.

Rows weigh 1 if positive and 1/r if negative, so that the figures are those of the logs
before sampling. Moments are merged in the order of the buckets (Chan, Golub, LeVeque
1979), in float64, so that every run gives the same digits.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    SequenceFeature,
    embedded_features,
)
from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    NUMERIC,
    layout_of,
    multi_valued_key,
    sequence_key,
)
from configs.manifest import NumericStatistics
from preprocessing.arrays import one_array
from preprocessing.counting import weighted_counts
from preprocessing.encode_rows import matrix_of
from preprocessing.quantiles import cell_counts

__all__ = [
    "Moments",
    "merge_counts",
    "merge_moments",
    "numeric_cells",
    "numeric_moments",
    "to_statistics",
    "value_counts",
]

Moments = dict[str, float]
"""Of one numeric input in one bucket: weight, missing_weight, minimum, maximum, and
mean and m2 (sum of squared differences from the mean) of the raw value and of its
log1p."""


def numeric_moments(
    job: Job, table: pa.Table, weights: npt.NDArray[np.float64]
) -> dict[str, Moments]:
    """Returns the moments of all numeric inputs of encoded rows.

    Args:
        job: names the inputs.
        table: encoded rows.
        weights: of the rows, [N].
    """
    layout = layout_of(job)
    moments = {}
    if layout.numeric:
        matrix = matrix_of(table[NUMERIC])
        for position, name in enumerate(layout.numeric):
            moments[name] = _moments(matrix[:, position], weights)
    for name, sequence in layout.sequences.items():
        for field in sequence.fields:
            if field in sequence.numeric:
                values, rows = _flat(table[sequence_key(name, field)])
                moments[f"{name}.{field}"] = _moments(values, weights[rows])
    return moments


def numeric_cells(
    job: Job, table: pa.Table, weights: npt.NDArray[np.float64]
) -> dict[str, pa.Table]:
    """Returns the counts that quantiles are made of, of all numeric features of encoded
    rows (see `preprocessing.quantiles`)."""
    names = layout_of(job).numeric
    if not names:
        return {}
    columns = matrix_of(table[NUMERIC]).T
    return {n: cell_counts(c, weights) for n, c in zip(names, columns, strict=True)}


def merge_moments(parts: Iterable[Moments]) -> Moments:
    """Merges the moments of buckets, in the order given."""
    total = _moments(np.zeros(0, np.float32), np.zeros(0))
    for part in parts:
        if part["weight"] > 0:
            weight = total["weight"] + part["weight"]
            share = part["weight"] / weight
            for kind in ("raw", "log1p"):
                difference = part[f"{kind}_mean"] - total[f"{kind}_mean"]
                total[f"{kind}_m2"] += part[f"{kind}_m2"] + (
                    difference**2 * total["weight"] * share
                )
                total[f"{kind}_mean"] += difference * share
            empty = total["weight"] == 0
            for limit, choose in (("minimum", min), ("maximum", max)):
                found = part[limit]
                total[limit] = found if empty else choose(total[limit], found)
            total["weight"] = weight
        total["missing_weight"] += part["missing_weight"]
    return total


def to_statistics(moments: Moments, quantiles: list[float]) -> NumericStatistics:
    """Returns what the manifest's schema wants to know."""
    weight = moments["weight"]
    deviations = {
        kind: float(np.sqrt(moments[f"{kind}_m2"] / weight)) if weight > 0 else 0.0
        for kind in ("raw", "log1p")
    }
    return NumericStatistics(
        weight=weight,
        missing_weight=moments["missing_weight"],
        mean=moments["raw_mean"],
        stddev=deviations["raw"],
        log1p_mean=moments["log1p_mean"],
        log1p_stddev=deviations["log1p"],
        minimum=moments["minimum"],
        maximum=moments["maximum"],
        quantiles=quantiles,
    )


def value_counts(
    job: Job, table: pa.Table, weights: npt.NDArray[np.float64]
) -> dict[str, pa.Table]:
    """Returns the weighted counts of all categorical inputs of encoded rows: columns
    `fingerprint` (sorted) and `count`.

    A missing value counts as the fingerprint of the empty text. Of lists each value
    counts.
    """
    layout = layout_of(job)
    counts = {}
    for name, _ in embedded_features(job.features):
        feature, _, field = name.partition(".")
        definition = job.features[feature]
        if isinstance(definition, CategoricalFeature | CrossedFeature):
            column = layout.categorical.index(name)
            values = matrix_of(table[CATEGORICAL])[:, column]
            rows = np.arange(table.num_rows)
        elif isinstance(definition, SequenceFeature):
            values, rows = _flat(table[sequence_key(feature, field)])
        else:
            values, rows = _flat(table[multi_valued_key(name)])
        counts[name] = _count(values, weights[rows])
    return counts


def merge_counts(parts: list[pa.Table]) -> pa.Table:
    """Merges the counts of buckets, in the order given."""
    if not parts:
        return _count(np.zeros(0, np.int64), np.zeros(0))
    values = np.concatenate([part["fingerprint"].to_numpy() for part in parts])
    weights = np.concatenate([part["count"].to_numpy() for part in parts])
    return _count(values, weights)


def _count(values: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]) -> pa.Table:
    distinct, sums = weighted_counts(values, weights)
    return pa.table(
        {
            "fingerprint": pa.array(distinct, pa.int64()),
            "count": pa.array(sums, pa.float64()),
        }
    )


def _moments(
    values: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]
) -> Moments:
    present = ~np.isnan(values)
    found = values[present].astype(np.float64)
    weight = weights[present]
    total = float(weight.sum())
    moments = {
        "weight": total,
        "missing_weight": float(weights[~present].sum()),
        "minimum": float(found.min()) if len(found) else 0.0,
        "maximum": float(found.max()) if len(found) else 0.0,
    }
    scales = {"raw": found, "log1p": np.sign(found) * np.log1p(np.abs(found))}
    for kind, scale in scales.items():
        mean = float((scale * weight).sum() / total) if total > 0 else 0.0
        moments[f"{kind}_mean"] = mean
        moments[f"{kind}_m2"] = float((weight * (scale - mean) ** 2).sum())
    return moments


def _flat(column: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Returns the values of a column of lists, and the row of each."""
    array = one_array(column)
    rows = np.repeat(np.arange(len(array)), np.diff(array.offsets.to_numpy()))
    return array.flatten().to_numpy(zero_copy_only=False), rows
