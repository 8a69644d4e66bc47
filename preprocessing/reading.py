"""Reads a block of a log into its fields, piece by piece."""

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa

from configs.errors import DataError
from preprocessing.blocks import Block, parquet_file
from preprocessing.fields import Field
from preprocessing.files import LogFile, open_stream
from preprocessing.normalize import normalize
from preprocessing.read_csv import read_csv_bytes, read_csv_stream
from preprocessing.read_jsonl import read_json_lines
from preprocessing.row_numbers import columns_read, with_row_numbers

__all__ = ["read_block", "stream_errors"]

_STREAM_CHUNK = 16 << 20
"""Bytes of a compressed file that are held at a time."""


def read_block(block: Block, fields: Sequence[Field]) -> Iterator[pa.Table]:
    """Yields tables with the schema `read_schema(fields)`, one row for each record.

    Raises:
        DataError: if the file is damaged.
    """
    first_row = 0
    for table in _tables(block, columns_read(fields)):
        yield with_row_numbers(table, fields, block, first_row)
        first_row += table.num_rows


def _tables(block: Block, fields: Sequence[Field]) -> Iterator[pa.Table]:
    file = block.file
    try:
        if file.format == "parquet":
            yield _read_row_groups(block, fields)
        elif block.is_range:
            yield _read_range(block, fields)
        else:
            with open_stream(file) as stream:
                if file.format == "jsonl":
                    yield from _read_json_stream(stream, fields)
                else:
                    yield from read_csv_stream(stream, block, fields)
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise stream_errors(file, error) from error


def stream_errors(file: LogFile, error: BaseException) -> DataError:
    """Returns the error to raise when a file cannot be read to its end."""
    if file.compression == "none":
        return DataError(f"{file.path} cannot be read: {error}")
    return DataError(
        f"{file.path} is not a whole {file.compression} file ({error}): it was cut or"
        " is damaged. Copy or write it again"
    )


def _read_range(block: Block, fields: Sequence[Field]) -> pa.Table:
    with open(block.file.path, "rb") as stream:
        stream.seek(block.start)
        data = stream.read(block.end - block.start)
    if len(data) != block.end - block.start:
        raise DataError(
            f"{block.file.path} became shorter while it was read: preprocess logs that"
            " are no longer written to"
        )
    if block.file.format == "jsonl":
        return read_json_lines(data, fields)
    return read_csv_bytes(data, block, fields)


def _read_json_stream(stream: IO[bytes], fields: Sequence[Field]) -> Iterator[pa.Table]:
    rest = b""
    while True:
        data = stream.read(_STREAM_CHUNK)
        if not data:
            break
        data = rest + data
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield read_json_lines(data[:end], fields)
    if rest:
        yield read_json_lines(rest, fields)


def _read_row_groups(block: Block, fields: Sequence[Field]) -> pa.Table:
    with parquet_file(block.file.path) as file:
        present = set(file.schema_arrow.names)
        columns = list(dict.fromkeys(f.column for f in fields if f.column in present))
        table = file.read_row_groups(list(block.row_groups), columns=columns)

    def record_of(row: int) -> str:
        record = table.slice(row, 1).to_pylist()[0]
        return json.dumps(record, ensure_ascii=False, default=str)

    return normalize(table, fields, from_text=False, record_of=record_of)
