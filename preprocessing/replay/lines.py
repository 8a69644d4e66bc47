"""Brings a log file of any format to JSON lines, which keep all of its columns.

Values that the job reads as numbers, times or lists become such; everything else of a
CSV or TSV file stays text. A line that is no record stays as it is: it is to be a dead
letter of whoever reads it.
"""

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import DataError
from configs.times import spelled_time
from preprocessing import vectors
from preprocessing.arrays import one_array
from preprocessing.blocks import parquet_file
from preprocessing.datasets.log_writer import json_lines
from preprocessing.fields import Field
from preprocessing.files import LogFile, open_stream
from preprocessing.read_csv import read_header
from preprocessing.reading import stream_errors

__all__ = ["json_lines_of"]

_BATCH = 8_192
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def json_lines_of(file: LogFile, fields: Sequence[Field], spool: Path) -> Path:
    """Returns a file of JSON lines with the records of `file`.

    Args:
        file: of a log; one of uncompressed JSON lines is returned as it is.
        fields: that the job reads.
        spool: file to write to otherwise.

    Raises:
        DataError: if the file cannot be read.
    """
    if file.format == "jsonl" and file.compression == "none":
        return Path(file.path)
    try:
        with spool.open("wb") as target:
            if file.format == "jsonl":
                with open_stream(file) as source:
                    shutil.copyfileobj(source, target, 1 << 20)
            elif file.format == "parquet":
                target.writelines(_lines_of_parquet(file, fields))
            else:
                target.writelines(_lines_of_text(file, fields))
    except DataError:
        raise
    except (EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        raise stream_errors(file, error) from error
    return spool


def _lines_of_parquet(file: LogFile, fields: Sequence[Field]) -> Iterator[bytes]:
    units = {f.column: f.unit for f in fields if f.kind in ("time", "moment")}
    with parquet_file(file.path) as parquet:
        for batch in parquet.iter_batches(batch_size=_BATCH):
            table = _spelled_times(pa.Table.from_batches([batch]), units)
            if all(_is_plain(one_array(column)) for column in table.columns):
                yield from json_lines(_wide_floats(table))
            else:
                yield from map(_line, table.to_pylist())


def _spelled_times(table: pa.Table, units: dict[str, Any]) -> pa.Table:
    """Turns Arrow's dates and timestamps into what JSON can hold, in the unit in which
    the job reads them."""
    for position, name in enumerate(table.column_names):
        kind = table.schema.field(name).type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            column = one_array(table[name])
            unit = units.get(name, "iso")
            times, _ = vectors.moments(column, unit)
            spelled = [spelled_time(time, unit) for time in times.tolist()]
            table = table.set_column(position, name, pa.array(spelled))
    return table


def _is_plain(column: pa.Array) -> bool:
    """Whether `json_lines` spells a column right."""
    kind = column.type
    if pa.types.is_list(kind):
        return _is_plain(column.flatten())
    if pa.types.is_string(kind):
        strange = pc.match_substring_regex(column, r"[\x00-\x1f\x7f]")
        return not pc.any(strange).as_py()
    if pa.types.is_floating(kind):
        return pc.all(pc.is_finite(column)).as_py() is not False
    return bool(
        pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    )


def _wide_floats(table: pa.Table) -> pa.Table:
    """Spells a float32 as the float64 that reading makes of it."""
    fields = [
        f.with_type(pa.float64()) if f.type in (pa.float16(), pa.float32()) else f
        for f in table.schema
    ]
    return table.cast(pa.schema(fields))


def _lines_of_text(file: LogFile, fields: Sequence[Field]) -> Iterator[bytes]:
    uses: dict[str, list[Field]] = {}
    for field in fields:
        uses.setdefault(field.column, []).append(field)
    with open_stream(file) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
        columns = file.columns
        if columns is None:
            columns = read_header(text.readline(), file.format)
        for row in _rows(text, file.format):
            if len(row) != len(columns):
                separator = "\t" if file.format == "tsv" else ","
                yield separator.join(row).replace("\n", " ").encode() + b"\n"
                continue
            values = zip(columns, row, strict=True)
            yield _line({c: _value(v, uses.get(c, [])) for c, v in values})


def _rows(text: Iterable[str], format: str) -> Iterator[list[str]]:
    if format == "csv":
        yield from filter(None, csv.reader(text))
        return
    for line in text:
        stripped = line.rstrip("\r\n")
        if stripped:
            yield stripped.split("\t")


def _value(text: str, uses: Sequence[Field]) -> Any:
    if not text:
        return None
    if not uses:
        return text
    field = uses[0]
    if field.is_list:
        return [_scalar(part, field) for part in text.split(field.separator)]
    # Text that is an integer is read as one too; a number that is text is not.
    field = next((use for use in uses if use.is_text), field)
    return _scalar(text, field)


def _scalar(text: str, field: Field) -> Any:
    if field.is_text or field.unit == "iso":
        return text
    if _JSON_NUMBER.fullmatch(text):
        return json.loads(text)
    if not text:
        return None
    try:
        # What the reader of CSV takes besides: +1, .5, 1., nan.
        return float(text)
    except ValueError:
        return text


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(_finite(record), ensure_ascii=False, default=str)
    return text.encode(errors="replace") + b"\n"


def _finite(value: Any) -> Any:
    """Spells what is no number as missing, for which JSON has a word."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
