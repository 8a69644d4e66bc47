"""Reads JSON lines into the fields of a log.

pyarrow reads a whole piece at once, with an explicit schema guessed from the piece's
first records: a column that is declared string may hold integers, and the other way
round. One line that does not fit makes pyarrow refuse the piece; it is then halved
until the damage is confined to a few lines, which are read one by one.
"""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from configs.times import NO_TIME
from preprocessing.fields import Field
from preprocessing.normalize import (
    Fault,
    checked_table,
    kind_reason,
    normalize,
    read_schema,
    unparsable_table,
)
from preprocessing.values import field_value

__all__ = ["read_json_lines"]

_PEEK = 64
"""Records from which the schema of a piece is guessed."""
_ONE_BY_ONE = 64
"""Pieces of at most this many lines are not halved further."""
_PARSER_CHUNK = 1 << 20
"""Bytes that one of Arrow's parsing threads takes at a time."""
_NUMBERED = ("int64", "label", "time", "moment")
"""Kinds that are mostly spelled as integers."""
_EXACT_FLOATS = 2**53
"""From here on, neighboring integers are the same float."""


def read_json_lines(data: bytes, fields: Sequence[Field]) -> pa.Table:
    """Reads whole lines of JSON; blank lines are no records.

    Returns:
        A table with the schema `read_schema(fields)`, one row for each record.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if not data.strip():
        return read_schema(fields).empty_table()
    if not data.endswith(b"\n"):
        data += b"\n"
    return pa.concat_tables(_pieces(data, fields))


def _pieces(data: bytes, fields: Sequence[Field]) -> Iterator[pa.Table]:
    table = _parse_whole(data, fields)
    if table is not None:
        yield table
        return
    if data.count(b"\n") <= _ONE_BY_ONE:
        yield from _one_by_one(data, fields)
        return
    middle = data.find(b"\n", len(data) // 2) + 1
    if middle in (0, len(data)):
        middle = data.rfind(b"\n", 0, len(data) // 2) + 1
    if middle in (0, len(data)):  # one line is as long as all others together
        yield from _one_by_one(data, fields)
        return
    yield from _pieces(data[:middle], fields)
    yield from _pieces(data[middle:], fields)


def _parse_whole(data: bytes, fields: Sequence[Field]) -> pa.Table | None:
    lines = _plain_lines(data)
    if lines is None:
        return None
    schema = _guess_schema(data, fields)
    try:
        table = pajson.read_json(
            io.BytesIO(data),
            read_options=pajson.ReadOptions(block_size=_PARSER_CHUNK),
            parse_options=pajson.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if table.num_rows != lines or _rounded(table, fields):
        return None
    return normalize(
        table, fields, from_text=False, record_of=_Records(data).__getitem__
    )


def _rounded(table: pa.Table, fields: Sequence[Field]) -> bool:
    """Whether integers may have lost digits in a column that was read as floats."""
    for column in {field.column for field in fields if field.is_text}:
        values = table[column]
        if pa.types.is_list(values.type):
            values = pc.list_flatten(values)
        if pa.types.is_floating(values.type):
            largest = pc.max(pc.abs(values)).as_py()
            if largest is not None and largest >= _EXACT_FLOATS:
                return True
    return False


def _plain_lines(data: bytes) -> int | None:
    """Counts the lines, if each is one object by its first and last character.

    Arrow would also take records that span lines, several in a line, and text that is
    not UTF-8: with those the rows could not be told apart.
    """
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    starts = ends[:-1] + 1
    fits = (
        codes[0] == ord("{")
        and bool((codes[starts] == ord("{")).all())
        and ends[0] > 0
        and bool((codes[ends - 1] == ord("}")).all())
    )
    if not fits:
        return None
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return None
    return len(ends)


class _Records:
    """The lines of a piece by number, split when first asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._lines: list[bytes] | None = None

    def __getitem__(self, row: int) -> str:
        if self._lines is None:
            self._lines = self._data.split(b"\n")
        return self._lines[row].decode()


def _guess_schema(data: bytes, fields: Sequence[Field]) -> pa.Schema:
    records = []
    for line in data[: 1 << 20].split(b"\n")[:_PEEK]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    by_column: dict[str, list[Field]] = {}
    for field in fields:
        by_column.setdefault(field.column, []).append(field)
    return pa.schema(
        [
            (column, _guess_type([r.get(column) for r in records], uses))
            for column, uses in by_column.items()
        ]
    )


def _guess_type(values: list[Any], uses: list[Field]) -> pa.DataType:
    is_list = any(field.is_list for field in uses)
    if is_list:
        values = [v for value in values if isinstance(value, list) for v in value]
    if all(field.kind in ("number", "truth") for field in uses):
        kind = pa.float64()
    else:
        kind = _type_of(values, uses)
    return pa.list_(kind) if is_list else kind


def _type_of(values: list[Any], uses: list[Field]) -> pa.DataType:
    types = {type(value) for value in values if value is not None}
    if types == {int}:
        return pa.int64()
    if types == {bool}:
        return pa.bool_()
    if types and types <= {int, float}:
        # As text a fraction is wrong, an integer is not: Arrow is to refuse the piece.
        is_text = any(field.kind in ("id", "string") for field in uses)
        return pa.string() if is_text else pa.float64()
    if not types and any(field.kind in _NUMBERED for field in uses):
        return pa.int64()
    if not types and all(field.kind == "flag" for field in uses):
        return pa.bool_()
    return pa.string()


def _one_by_one(data: bytes, fields: Sequence[Field]) -> Iterator[pa.Table]:
    lines = [line for line in data.split(b"\n") if line.strip()]
    records, kept, dead = [], [], []
    for line in lines:
        text = line.decode(errors="replace")
        record = _parsed(line)
        if record is None:
            dead.append(text)
        else:
            records.append(record)
            kept.append(text)
    if records:
        yield _table_of(records, kept, fields)
    if dead:
        yield unparsable_table(dead, fields)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _table_of(
    records: list[dict[str, Any]], lines: list[str], fields: Sequence[Field]
) -> pa.Table:
    schema = read_schema(fields)
    columns, faults = [], []
    for field in fields:
        values = []
        bad = np.zeros(len(records), np.bool_)
        for row, record in enumerate(records):
            try:
                values.append(field_value(field, record.get(field.column)))
            except ValueError:
                values.append(_blank(field))
                bad[row] = True
        columns.append(pa.array(values, schema.field(field.name).type))
        fault: Fault = (kind_reason(field), bad if bad.any() else None)
        faults.append(fault)
    return checked_table(columns, fields, faults, lines.__getitem__)


def _blank(field: Field) -> Any:
    if field.is_list:
        return []
    if field.is_text:
        return ""
    if field.kind == "moment":
        return NO_TIME
    return 0 if field.kind in ("time", "label", "flag") else float("nan")
