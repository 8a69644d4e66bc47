"""Reads CSV and TSV into the fields of a log.

All columns are read as bytes, so that a value of the wrong type never makes Arrow
refuse its neighbours; `preprocessing.vectors` converts them. CSV knows double quotes;
in TSV a quote is a character like any other.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from configs.errors import DataError
from preprocessing.blocks import Block
from preprocessing.fields import Field
from preprocessing.normalize import (
    REASON,
    RECORD,
    normalize,
    read_schema,
    unparsable_table,
)
from preprocessing.reasons import reason_code

__all__ = ["delimiter_of", "read_csv_bytes", "read_csv_stream", "read_header"]

_STREAM_CHUNK = 16 << 20
"""Bytes of a stream that are read and parsed at a time."""
_PARSER_CHUNK = 4 << 20


def delimiter_of(format: str) -> str:
    """Returns what separates the columns of a format."""
    return "\t" if format == "tsv" else ","


def read_header(line: str, format: str) -> tuple[str, ...]:
    """Returns the column names in a header line."""
    if format == "tsv":
        return tuple(line.rstrip("\r\n").split("\t"))
    return tuple(next(csv.reader([line]), []))


def read_csv_bytes(data: bytes, block: Block, fields: Sequence[Field]) -> pa.Table:
    """Reads whole lines that hold no quoted line break.

    Returns:
        A table with the schema `read_schema(fields)`, one row for each record.
    """
    return pa.concat_tables(
        [
            read_schema(fields).empty_table(),
            *_tables(io.BytesIO(data), block, fields, _PARSER_CHUNK),
        ]
    )


def read_csv_stream(
    stream: IO[bytes], block: Block, fields: Sequence[Field]
) -> Iterator[pa.Table]:
    """Reads a whole file in pieces; quoted line breaks are fine."""
    yield from _tables(stream, block, fields, _STREAM_CHUNK)


def _tables(
    stream: Any, block: Block, fields: Sequence[Field], chunk: int
) -> Iterator[pa.Table]:
    dead: list[str] = []

    def keep(row: Any) -> str:
        dead.append(row.text)
        return "skip"

    reader = _open(stream, block, fields, chunk, keep)
    if reader is None:
        return
    try:
        for batch in reader:
            if batch.num_rows:
                yield _fields_of(pa.Table.from_batches([batch]), fields)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{block.file.path} cannot be read as {block.file.format}: {error}. Check"
            " its quotes and line ends, and that all of it is UTF-8"
        ) from error
    if dead:
        yield unparsable_table(dead, fields)


def _open(
    stream: Any, block: Block, fields: Sequence[Field], chunk: int, keep: Any
) -> Any:
    names = list(dict.fromkeys(f.column for f in fields if f.column in block.columns))
    quoted = block.file.format == "csv" and block.quoted
    try:
        return pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                column_names=list(block.columns),
                skip_rows=1 if block.skip_header else 0,
                block_size=chunk,
                encoding="utf8",
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter_of(block.file.format),
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                invalid_row_handler=keep,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.binary() for name in names},
                include_columns=names,
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return None
        raise DataError(
            f"{block.file.path} cannot be read as {block.file.format}: {error}. Check"
            " its quotes and line ends, and that all of it is UTF-8"
        ) from error


def _fields_of(table: pa.Table, fields: Sequence[Field]) -> pa.Table:
    columns = []
    garbled = np.zeros(table.num_rows, np.bool_)
    for column in table.columns:
        text, bad = _decoded(column.combine_chunks())
        columns.append(text)
        if bad is not None:
            garbled |= bad
    decoded = pa.Table.from_arrays(columns, names=table.column_names)

    def record_of(row: int) -> str:
        record = decoded.slice(row, 1).to_pylist()[0]
        return json.dumps(record, ensure_ascii=False)

    normal = normalize(decoded, fields, from_text=True, record_of=record_of)
    if not garbled.any():
        return normal
    return _mark_garbled(normal, garbled, record_of)


def _decoded(column: Any) -> tuple[pa.Array, Any]:
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    try:
        return column.cast(pa.string()), None
    except pa.ArrowInvalid:
        pass
    texts, bad = [], np.zeros(len(column), np.bool_)
    for row, value in enumerate(column.to_pylist()):
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            texts.append(value.decode(errors="replace"))
            bad[row] = True
    return pa.array(texts, pa.string()), bad


def _mark_garbled(table: pa.Table, garbled: Any, record_of: Any) -> pa.Table:
    """Rows that are not UTF-8 are unparsable, whatever else is wrong with them."""
    reasons = table[REASON].to_numpy().copy()
    reasons[garbled] = reason_code("unparsable")
    records = [
        record_of(row) if reason else None
        for row, reason in enumerate(reasons.tolist())
    ]
    table = table.set_column(
        table.schema.get_field_index(REASON), REASON, pa.array(reasons)
    )
    return table.set_column(
        table.schema.get_field_index(RECORD), RECORD, pa.array(records, pa.string())
    )
