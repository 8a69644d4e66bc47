"""Turns a raw Arrow table into the fields of a log, and marks the records that are bad.

The result has one column for each field (see `preprocessing.fields`) and two more:
`REASON`, the code of the first thing wrong with the row (0: nothing), and `RECORD`,
the record as text where something is.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from preprocessing import vectors
from preprocessing.arrays import one_array
from preprocessing.fields import Field
from preprocessing.reasons import reason_code

__all__ = [
    "REASON",
    "RECORD",
    "Fault",
    "checked_table",
    "kind_reason",
    "normalize",
    "read_schema",
    "unparsable_table",
]

REASON = "reason"
RECORD = "record"

Fault = tuple[str, npt.NDArray[np.bool_] | None]
"""A reason, and the rows it holds for (None: for none)."""

_TYPES = {
    "time": pa.int64(),
    "moment": pa.int64(),
    "flag": pa.int8(),
    "label": pa.int8(),
}
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def kind_reason(field: Field) -> str:
    """Returns the reason of a value that is not of the field's kind."""
    special = {
        "id": "invalid_id",
        "time": "invalid_time",
        "moment": "invalid_time",
        "label": "invalid_label",
    }
    return special.get(field.kind, "wrong_type")


def read_schema(fields: Sequence[Field]) -> pa.Schema:
    """Returns the schema of what reading yields."""
    columns = [(field.name, _arrow_type(field)) for field in fields]
    return pa.schema([*columns, (REASON, pa.int8()), (RECORD, pa.string())])


def normalize(
    table: pa.Table,
    fields: Sequence[Field],
    *,
    from_text: bool,
    record_of: Callable[[int], str],
) -> pa.Table:
    """Converts the raw columns of `table`.

    Args:
        table: raw columns by name; a column that is absent is missing in every row.
        fields: what to make of them.
        from_text: whether lists and numbers are spelled as text (CSV, TSV).
        record_of: returns the text of the record in a row.

    Returns:
        A table with the schema `read_schema(fields)`.
    """
    columns: list[Any] = []
    faults: list[Fault] = []
    for field in fields:
        if field.column in table.column_names:
            raw = one_array(table[field.column])
        else:
            raw = pa.nulls(table.num_rows)
        column, bad = _convert(raw, field, from_text)
        columns.append(column)
        faults.append((kind_reason(field), bad))
    return checked_table(columns, fields, faults, record_of)


def checked_table(
    columns: list[Any],
    fields: Sequence[Field],
    faults: list[Fault],
    record_of: Callable[[int], str],
) -> pa.Table:
    """Adds what is wrong with values of the right kind, and builds the table."""
    arrays = dict(zip([field.name for field in fields], columns, strict=True))
    faults = [*faults, *(f for field in fields for f in _faults(field, arrays))]
    rows = len(columns[0])
    reasons = np.zeros(rows, np.int8)
    for reason, bad in reversed(faults):  # the first fault wins
        if bad is not None:
            reasons[bad] = reason_code(reason)
    records = _records(reasons, record_of)
    return pa.Table.from_arrays(
        [*columns, pa.array(reasons), records], schema=read_schema(fields)
    )


def unparsable_table(records: Sequence[str], fields: Sequence[Field]) -> pa.Table:
    """Returns a table of records that could not be parsed at all."""
    schema = read_schema(fields)
    rows = len(records)
    columns = [pa.nulls(rows, schema.field(field.name).type) for field in fields]
    code = pa.array(np.full(rows, reason_code("unparsable"), np.int8))
    return pa.Table.from_arrays(
        [*columns, code, pa.array(records, pa.string())], schema=schema
    )


def _arrow_type(field: Field) -> pa.DataType:
    if field.is_text:
        kind = pa.string()
    else:
        kind = _TYPES.get(field.kind, pa.float64())
    return pa.list_(kind) if field.is_list else kind


def _convert(raw: pa.Array, field: Field, from_text: bool) -> tuple[pa.Array, Any]:
    if not field.is_list:
        return _convert_flat(raw, field, from_text)
    if pa.types.is_dictionary(raw.type):
        raw = raw.dictionary_decode()
    if from_text and pa.types.is_string(raw.type):
        lists = pc.split_pattern(raw.fill_null(""), field.separator)
        raw = pc.if_else(
            pc.equal(raw.fill_null(""), ""), pa.scalar(None, lists.type), lists
        )
    if not _is_list(raw.type):
        bad = raw.is_valid().to_numpy(zero_copy_only=False)
        raw = pa.nulls(len(raw), pa.list_(pa.null()))
        column, _ = _convert(raw, field, from_text)
        return column, bad if bad.any() else None
    lengths = pc.list_value_length(raw).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    flat, bad_values = _convert_flat(raw.flatten(), field, from_text)
    column = pa.ListArray.from_arrays(pa.array(offsets), flat)
    if bad_values is None:
        return column, None
    bad = np.zeros(len(raw), np.bool_)
    bad[np.repeat(np.arange(len(raw)), lengths)[bad_values]] = True
    return column, bad


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _convert_flat(raw: pa.Array, field: Field, from_text: bool) -> tuple[pa.Array, Any]:
    if field.is_text:
        column, bad = vectors.texts(raw, "int64" if field.kind == "int64" else "string")
        if field.kind == "id":
            missing = pc.equal(column, "").to_numpy(zero_copy_only=False)
            bad = missing if missing.any() else None
        return column, bad
    if field.kind == "time":
        values, bad = vectors.times(raw, field.unit)
    elif field.kind == "moment":
        values, bad = vectors.moments(raw, field.unit)
    elif field.kind == "label":
        values, bad = vectors.labels(raw)
    elif field.kind == "flag":
        values, bad = vectors.flags(raw)
    else:
        values, bad = vectors.numbers(raw, from_text=from_text)
        if field.kind == "truth":
            outside = (values < 0) | (values > 1)
            bad = outside if bad is None else bad | outside
    return pa.array(values), bad


def _faults(field: Field, columns: dict[str, pa.Array]) -> list[Fault]:
    column = columns[field.name]
    faults: list[Fault] = []
    if field.latest is not None:
        faults.append(("future_time", column.to_numpy() > field.latest))
    if field.kind == "number":
        flat = column.values if field.is_list else column
        infinite = np.abs(flat.to_numpy(zero_copy_only=False)) > _FLOAT32_MAX
        if infinite.any():
            faults.append(("non_finite", _rows_of(column, infinite, field.is_list)))
        if field.non_negative:
            negative = flat.to_numpy(zero_copy_only=False) < 0
            faults.append(("negative", _rows_of(column, negative, field.is_list)))
    if field.length is not None:
        lengths = _lengths(column)
        faults.append(("wrong_length", (lengths != field.length) & (lengths != 0)))
        missing = np.isnan(column.values.to_numpy(zero_copy_only=False))
        if missing.any():
            absent = np.bincount(_row_numbers(column)[missing], minlength=len(column))
            incomplete = (absent > 0) & (absent < lengths)
            faults.append(("incomplete_vector", incomplete))
    if field.aligned_with != field.name and field.aligned_with in columns:
        first = columns[field.aligned_with]
        faults.append(("unaligned", _lengths(column) != _lengths(first)))
    return faults


def _lengths(column: pa.Array) -> npt.NDArray[np.int32]:
    lengths: npt.NDArray[np.int32] = np.diff(column.offsets.to_numpy())
    return lengths


def _row_numbers(column: pa.Array) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(column)), _lengths(column))


def _rows_of(
    column: pa.Array, values: npt.NDArray[np.bool_], is_list: bool
) -> npt.NDArray[np.bool_]:
    if not is_list:
        return values
    rows = np.zeros(len(column), np.bool_)
    rows[_row_numbers(column)[values]] = True
    return rows


def _records(
    reasons: npt.NDArray[np.int8], record_of: Callable[[int], str]
) -> pa.Array:
    bad = np.flatnonzero(reasons)
    if len(bad) == 0:
        return pa.nulls(len(reasons), pa.string())
    records: list[str | None] = [None] * len(reasons)
    for row in bad.tolist():
        records[row] = record_of(row)
    return pa.array(records, pa.string())
