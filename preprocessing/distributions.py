"""Counts what example sets are compared by (see `configs.distributions`)."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.distributions import (
    BINS_PER_OCTAVE,
    EXPONENT_SHIFT,
    Distributions,
    Histogram,
)
from configs.job import Job
from configs.layout import (
    LABELS,
    NUMERIC,
    layout_of,
    multi_valued_key,
    sequence_key,
)
from preprocessing.arrays import one_array
from preprocessing.counting import weighted_counts
from preprocessing.encode_rows import matrix_of

__all__ = ["bins_of", "count_distributions", "merge_distributions"]

Floats = npt.NDArray[np.float64]


def bins_of(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Returns the number of the bin of each value; there is no NaN among them."""
    found = np.asarray(values, np.float64)
    mantissa, exponent = np.frexp(np.abs(found))
    step = np.floor(mantissa * 2 * BINS_PER_OCTAVE).astype(np.int64) - BINS_PER_OCTAVE
    number = BINS_PER_OCTAVE * (exponent.astype(np.int64) + EXPONENT_SHIFT) + step + 1
    bins: npt.NDArray[np.int64] = np.where(found == 0, 0, np.sign(found) * number)
    return bins.astype(np.int64)


def count_distributions(job: Job, table: pa.Table, weights: Floats) -> dict[str, Any]:
    """Returns the distributions of encoded rows, ready for JSON.

    Args:
        job: names the inputs.
        table: encoded rows, with labels.
        weights: of the rows, [N].
    """
    layout = layout_of(job)
    labels = matrix_of(table[LABELS])
    numeric = {}
    if layout.numeric:
        matrix = matrix_of(table[NUMERIC])
        for place, name in enumerate(layout.numeric):
            numeric[name] = _histogram(matrix[:, place], weights)
    empty = {}
    for name in layout.multi_valued:
        empty[name] = _empty(table[multi_valued_key(name)], weights)
    for name, sequence in layout.sequences.items():
        empty[name] = _empty(table[sequence_key(name, sequence.fields[0])], weights)
        for field in sequence.fields:
            if field in sequence.numeric:
                array = one_array(table[sequence_key(name, field)])
                lengths = np.diff(array.offsets.to_numpy())
                values = array.flatten().to_numpy(zero_copy_only=False)
                numeric[f"{name}.{field}"] = _histogram(
                    values, np.repeat(weights, lengths)
                )
    return {
        "weight": float(weights.sum()),
        "labels": {
            name: float(weights[labels[:, place] == 1].sum())
            for place, name in enumerate(layout.labels)
        },
        "empty": empty,
        "numeric": numeric,
    }


def merge_distributions(job: Job, parts: Iterable[Mapping[str, Any]]) -> Distributions:
    """Adds up the distributions of buckets, in the order given."""
    found = list(parts)
    layout = layout_of(job)
    fields = [
        f"{name}.{field}"
        for name, sequence in layout.sequences.items()
        for field in sequence.fields
        if field in sequence.numeric
    ]
    lists = [*layout.multi_valued, *layout.sequences]
    return Distributions(
        weight=sum(part["weight"] for part in found),
        labels={n: sum(part["labels"][n] for part in found) for n in layout.labels},
        empty={n: sum(part["empty"][n] for part in found) for n in lists},
        numeric={
            name: _merged([part["numeric"][name] for part in found])
            for name in (*layout.numeric, *fields)
        },
    )


def _merged(parts: list[dict[str, list[Any]]]) -> Histogram:
    bins = np.array([n for part in parts for n in part["bins"]], np.int64)
    weights = np.array([w for part in parts for w in part["weights"]], np.float64)
    return Histogram.model_validate(_summed(bins, weights))


def _histogram(
    values: npt.NDArray[np.float32], weights: Floats
) -> dict[str, list[Any]]:
    known = ~np.isnan(values)
    return _summed(bins_of(values[known]), weights[known])


def _summed(bins: npt.NDArray[np.int64], weights: Floats) -> dict[str, list[Any]]:
    distinct, sums = weighted_counts(bins, weights)
    return {"bins": distinct.tolist(), "weights": sums.tolist()}


def _empty(column: Any, weights: Floats) -> float:
    lengths = np.diff(one_array(column).offsets.to_numpy())
    return float(weights[lengths == 0].sum())
