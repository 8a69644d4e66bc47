"""Encodes the fields of impressions: what examples hold, but for the labels.

The result is a table with the columns

    ids, categorical         fixed-size lists of int64 (fingerprints)
    numeric, dense, truth    fixed-size lists of float (float32)
    event_time               int64
    multi_valued/NAME        list<int64>
    multi_valued/NAME/weights  list<float>
    sequence/NAME/FIELD      list<int64> or list<float>

in the order of `configs.layout`; groups without members are absent, and so are the
sequences that are built of events (`preprocessing.history_stage`).
"""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from configs.columns import raw_name
from configs.features import (
    CrossedFeature,
    DenseFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    TimeFeature,
)
from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    DENSE,
    EVENT_TIME,
    IDS,
    NUMERIC,
    TRUTH,
    layout_of,
    multi_valued_key,
    sequence_key,
    weights_key,
)
from preprocessing.arrays import one_array
from preprocessing.encoding import CROSS_SEPARATOR
from preprocessing.fields import id_field, raw_field, truth_field
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.time_parts import time_part

__all__ = ["encode_rows", "fixed_lists", "matrix_of"]


def encode_rows(job: Job, table: pa.Table, counters: Counter[str]) -> pa.Table:
    """Encodes impressions that are in order.

    Args:
        job: says which features there are.
        table: fields of the impressions, without bad rows.
        counters: `features.NAME.truncated_values`, `.incomplete_behaviours` and
            `.older_behaviours` are added to.
    """
    layout = layout_of(job)
    columns: dict[str, Any] = {
        IDS: fixed_lists(
            [
                fingerprints_of(_chunk(table, id_field(name)), distinct=name == "event")
                for name in layout.ids
            ]
        ),
        EVENT_TIME: _chunk(table, "time"),
        TRUTH: fixed_lists([_truth(job, table, label) for label in layout.labels]),
    }
    numbers, vectors = [], []
    for name, feature in job.features.items():
        if isinstance(feature, SequenceFeature):
            if not feature.built:
                columns.update(_sequence(table, name, feature, counters))
            continue
        if isinstance(feature, NumericFeature):
            numbers.append(_float32(_raw(job, table, name)))
        elif isinstance(feature, DenseFeature):
            vectors.append(_vector(_raw(job, table, name), feature.length))
        elif isinstance(feature, MultiValuedFeature):
            columns |= _multi_valued(table, name, feature, counters)
    if layout.categorical:
        columns[CATEGORICAL] = fixed_lists(
            [_categorical(job, table, name) for name in layout.categorical]
        )
    if numbers:
        columns[NUMERIC] = fixed_lists(numbers)
    if vectors:
        columns[DENSE] = _fixed(np.concatenate(vectors, axis=1))
    return pa.table(columns)


def fixed_lists(columns: list[npt.NDArray[Any]]) -> pa.Array:
    """Returns columns [N] side by side, as lists of a fixed size."""
    return _fixed(np.stack(columns, axis=1))


def matrix_of(column: Any) -> npt.NDArray[Any]:
    """Returns a column of lists of a fixed size as a matrix [N, size]."""
    array = one_array(column)
    size = array.type.list_size
    flat: npt.NDArray[Any] = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, size)


def _fixed(matrix: npt.NDArray[Any]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def _chunk(table: pa.Table, name: str) -> pa.Array:
    return one_array(table[name])


def _raw(job: Job, table: pa.Table, name: str) -> pa.Array:
    return _chunk(table, raw_field(raw_name(job, name)))


def _categorical(job: Job, table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    if isinstance(job.features[name], TimeFeature):
        return _time_part(job, table, name)
    return fingerprints_of(_text(job, table, name))


def _text(job: Job, table: pa.Table, name: str) -> pa.Array:
    """Returns the canonical texts of a feature of one value."""
    feature = job.features[name]
    if isinstance(feature, CrossedFeature):
        parts = [_text(job, table, part) for part in feature.of]
        return pc.binary_join_element_wise(*parts, CROSS_SEPARATOR)
    if isinstance(feature, TimeFeature):
        return pa.array(_time_part(job, table, name)).cast(pa.string())
    return _raw(job, table, name)


def _time_part(job: Job, table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    feature = job.features[name]
    if not isinstance(feature, TimeFeature):
        raise TypeError(f"{name} is no time feature")
    times = _raw(job, table, name).to_numpy(zero_copy_only=False)
    part: npt.NDArray[np.int64] = time_part(tf.constant(times), feature).numpy()
    return part


def _float32(column: pa.Array) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values.astype(np.float32)


def _truth(job: Job, table: pa.Table, label: str) -> npt.NDArray[np.float32]:
    if job.labels[label].truth is None:
        return np.full(table.num_rows, np.nan, np.float32)
    return _float32(_chunk(table, truth_field(label)))


def _vector(column: pa.Array, length: int) -> npt.NDArray[np.float32]:
    """Missing vectors (absent, or NaN throughout) are zeros."""
    lengths = np.diff(column.offsets.to_numpy())
    matrix = np.zeros((len(column), length), np.float32)
    matrix[lengths > 0] = _float32(column.flatten()).reshape(-1, length)
    return np.nan_to_num(matrix, nan=0.0, posinf=None, neginf=None)


def _multi_valued(
    table: pa.Table, name: str, feature: MultiValuedFeature, counters: Counter[str]
) -> dict[str, pa.Array]:
    column = _chunk(table, raw_field(feature.raw_name(name)))
    flat = column.flatten()
    rows = _row_numbers(column)
    present = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    rank = _rank(rows, present, len(column))
    kept = present & (rank < feature.max_length)
    counters[f"features.{name}.truncated_values"] += int((present & ~kept).sum())
    hashed = fingerprints_of(flat.filter(pa.array(kept)))
    columns = {multi_valued_key(name): _lists(hashed, rows[kept], len(column))}
    if feature.weights is not None:
        given = _float32(_chunk(table, raw_field(feature.raw_weights)).flatten())[kept]
        weights = np.where(np.isnan(given), np.float32(1.0), given)
        columns[weights_key(name)] = _lists(weights, rows[kept], len(column))
    return columns


def _sequence(
    table: pa.Table, name: str, feature: SequenceFeature, counters: Counter[str]
) -> dict[str, pa.Array]:
    lists = {
        field: _chunk(table, raw_field(feature.column_of(name, field)))
        for field in feature.fields
    }
    first = lists[next(iter(lists))]
    rows = _row_numbers(first)
    present = pc.not_equal(first.flatten(), "").to_numpy(zero_copy_only=False)
    counts = np.bincount(rows[present], minlength=len(first))
    rank = _rank(rows, present, len(first))
    kept = present & (rank >= (counts - feature.max_length)[rows])
    place = f"features.{name}"
    counters[f"{place}.incomplete_behaviours"] += int((~present).sum())
    counters[f"{place}.older_behaviours"] += int((present & ~kept).sum())
    encoded = {}
    for field, definition in feature.fields.items():
        values = lists[field].flatten().filter(pa.array(kept))
        numbers = (
            fingerprints_of(values)
            if definition.kind == "categorical"
            else _float32(values)
        )
        encoded[sequence_key(name, field)] = _lists(numbers, rows[kept], len(first))
    return encoded


def _row_numbers(column: pa.Array) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))


def _rank(
    rows: npt.NDArray[np.int64], present: npt.NDArray[np.bool_], size: int
) -> npt.NDArray[np.int64]:
    """Returns for each value how many present ones of its row stand before it."""
    before: npt.NDArray[np.int64] = np.cumsum(present) - present
    counts = np.bincount(rows[present], minlength=size)
    starts = np.cumsum(counts) - counts
    ranks: npt.NDArray[np.int64] = before - starts[rows]
    return ranks


def _lists(flat: npt.NDArray[Any], rows: npt.NDArray[np.int64], size: int) -> pa.Array:
    offsets = np.zeros(size + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=size), out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
