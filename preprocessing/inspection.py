"""Looks into the logs before anything is made of them.

A column that is absent, or of another type throughout, would otherwise show as a
million dead letters.
"""

import json
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.errors import DataError
from configs.section import suggestion
from configs.times import NO_TIME
from preprocessing.blocks import Block, parquet_file
from preprocessing.fields import Field
from preprocessing.files import LogFile, open_stream
from preprocessing.normalize import REASON, kind_reason, normalize
from preprocessing.plan import column_array
from preprocessing.read_csv import read_csv_bytes, read_header
from preprocessing.read_jsonl import read_json_lines
from preprocessing.reading import stream_errors
from preprocessing.reasons import reason_code
from preprocessing.row_numbers import columns_read

__all__ = ["Inspected", "first_times", "inspect_file"]

_PEEK_BYTES = 4 << 20
_PEEK_RECORDS = 1_000
_COMPRESSION_FACTOR = 4
"""How much smaller compressed logs are, roughly; only an estimate hangs on it."""

Inspected = tuple[tuple[str, ...], int]
"""The columns of a file (empty for JSON lines and Parquet, which name them in every
block), and about how many records it holds."""


def inspect_file(file: LogFile, fields: Sequence[Field]) -> Inspected:
    """Checks that the columns of a log are there, and of the declared types.

    Raises:
        DataError: if one is not, or the file cannot be read.
    """
    fields = columns_read(fields)
    if file.format == "parquet":
        return _inspect_parquet(file, fields)
    lines = _first_lines(file)
    columns: tuple[str, ...] = ()
    if file.format == "jsonl":
        _check_keys(file, fields, lines)
    else:
        columns, _ = _header(file, lines)
        _check_present(file, fields, columns)
    content, read = _text_reader(file, lines)
    if content.strip() and not (file.format == "csv" and quoted_break(content)):
        _check_types(file, fields, read)
    size = file.bytes * (1 if file.compression == "none" else _COMPRESSION_FACTOR)
    mean = sum(map(len, lines)) / max(len(lines), 1)
    return columns, int(size / max(mean, 1.0))


def first_times(file: LogFile, time: Field) -> list[int]:
    """Returns the times of the first records of a file, ms, without damaged ones.

    Raises:
        DataError: if there is no such column, or the file cannot be read.
    """
    if file.format == "parquet":
        with parquet_file(file.path) as parquet:
            _check_present(file, [time], parquet.schema_arrow.names)
            batches = parquet.iter_batches(_PEEK_RECORDS, columns=[time.column])
            batch = next(batches, None)
        if batch is None:
            return []
        sample = pa.Table.from_batches([batch])
        table = normalize(sample, [time], from_text=False, record_of=lambda row: "")
    else:
        lines = _first_lines(file)
        if file.format != "jsonl":
            _check_present(file, [time], _header(file, lines)[0])
        table = _text_reader(file, lines)[1](time)
    good = column_array(table, REASON).to_numpy() == 0
    times: list[int] = column_array(table, time.name).to_numpy()[good].tolist()
    return times


def _text_reader(
    file: LogFile, lines: list[bytes]
) -> tuple[bytes, Callable[[Field], pa.Table]]:
    """Returns the first records of a text file, and what reads a field of them."""
    if file.format == "jsonl":
        content = b"".join(lines[:_PEEK_RECORDS])
        return content, lambda field: read_json_lines(content, [field])
    columns, body = _header(file, lines)
    content = b"".join(body[:_PEEK_RECORDS])
    quoted = file.format == "csv" and b'"' in content
    block = Block(number=0, file=file, columns=columns, quoted=quoted)
    return content, lambda field: read_csv_bytes(content, block, [field])


def quoted_break(content: bytes) -> bool:
    """Returns whether the text ends inside quotes: it was cut in a quoted value."""
    return content.count(b'"') % 2 == 1


def _inspect_parquet(file: LogFile, fields: Sequence[Field]) -> Inspected:
    with parquet_file(file.path) as parquet:
        _check_present(file, fields, parquet.schema_arrow.names)
        columns = list(dict.fromkeys(field.column for field in fields))
        rows = int(parquet.metadata.num_rows)
        batches = parquet.iter_batches(batch_size=_PEEK_RECORDS, columns=columns)
        try:
            first = next(batches, None)
        except (OSError, pa.ArrowException) as error:
            raise stream_errors(file, error) from error
        if first is not None:
            sample = pa.Table.from_batches([first])

            def read(field: Field) -> pa.Table:
                return normalize(
                    sample, [field], from_text=False, record_of=lambda row: ""
                )

            _check_types(file, fields, read)
    return (), rows


def _first_lines(file: LogFile) -> list[bytes]:
    try:
        with open_stream(file) as stream:
            data = stream.read(_PEEK_BYTES)
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise stream_errors(file, error) from error
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    if len(data) == _PEEK_BYTES and len(lines) > 1:
        lines.pop()  # cut
    return lines


def _header(file: LogFile, lines: list[bytes]) -> tuple[tuple[str, ...], list[bytes]]:
    if file.columns is not None:
        return file.columns, lines
    if not lines:
        return (), []
    try:
        return read_header(lines[0].decode(), file.format), lines[1:]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file.path}: the header line is not UTF-8 ({error}): is it a"
            f" {file.format} file?"
        ) from error


def _check_keys(file: LogFile, fields: Sequence[Field], lines: list[bytes]) -> None:
    found: dict[str, None] = {}
    # What is hardly ever marked may be spelled out only where it is.
    fields = [field for field in fields if field.kind != "flag"]
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.update(dict.fromkeys(record))
        if all(field.column in found for field in fields):
            return
    if found:
        _check_present(file, fields, list(found))
    elif any(line.strip() for line in lines):
        raise DataError(
            f"{file.path}: none of the first {len(lines):,} lines is a JSON object."
            " Expected one record a line (JSON lines); set 'format' if it is another"
        )


def _check_present(
    file: LogFile, fields: Sequence[Field], columns: Sequence[str]
) -> None:
    for field in fields:
        if field.column not in columns:
            raise DataError(
                f"{file.path} has no column {field.column!r}, which the job reads as"
                f" {_description(field)}.{suggestion(field.column, columns)} Columns"
                f" found: {', '.join(columns) or 'none'}"
            )


def _check_types(
    file: LogFile, fields: Sequence[Field], read: Callable[[Field], pa.Table]
) -> None:
    for field in fields:
        table = read(field)
        reasons = column_array(table, REASON).to_numpy()
        parsed = reasons != reason_code("unparsable")
        bad = reasons == reason_code(kind_reason(field))
        if not bad.any() or (parsed & ~bad & _present(table, field)).any():
            continue
        raise DataError(
            f"{file.path}: column {field.column!r} is no {_description(field)} in any"
            f" of the first {int(parsed.sum()):,} records. {_advice(field)}"
        )


def _present(table: pa.Table, field: Field) -> npt.NDArray[np.bool_]:
    column = column_array(table, field.name)
    if field.is_list:
        lengths = np.zeros(len(column), np.int64)
        lengths[:] = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        present: npt.NDArray[np.bool_] = lengths > 0
    elif field.is_text:
        present = np.array([bool(value) for value in column.to_pylist()], np.bool_)
    elif field.kind in ("number", "truth"):
        values = column.fill_null(float("nan")).to_numpy(zero_copy_only=False)
        present = ~np.isnan(values)
    elif field.kind == "moment":
        present = column.fill_null(NO_TIME).to_numpy() != NO_TIME
    else:
        present = np.ones(len(column), np.bool_)
    return present


def _description(field: Field) -> str:
    names = {
        "id": "id (text or an integer, never missing)",
        "string": "text",
        "int64": "integer",
        "number": "number",
        "truth": "probability",
        "label": "label (0/1 or true/false)",
        "flag": "mark (0/1 or true/false)",
        "time": f"time in {field.unit!r}",
        "moment": f"time in {field.unit!r}",
    }
    name = names[field.kind]
    return f"list of {name} values" if field.is_list else name


def _advice(field: Field) -> str:
    if field.kind in ("time", "moment"):
        return "Set the unit of the time column: s, ms, us, ns or iso"
    if field.kind == "int64":
        return "Declare the feature 'type: string', or mend the log"
    if field.is_list:
        return "Declare the feature as what the log holds, or log lists"
    return "Declare it as what the log holds, or mend the log"
