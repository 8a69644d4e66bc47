"""Reads a bounded number of records of a log, before anything is known of it."""

import bz2
import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, cast

import orjson
import pyarrow as pa
import pyarrow.csv as pacsv

from configs.errors import DataError
from preprocessing.blocks import parquet_file
from preprocessing.files import LogFile
from preprocessing.planning.sources import Source
from preprocessing.read_csv import delimiter_of, read_header
from preprocessing.reading import stream_errors

__all__ = ["Sample", "read_sample"]

_MAX_FILES = 64
_MAX_BYTES = 512 << 20
_TAIL_BYTES = 64 << 10
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The first records of the files of a log.

    Attributes:
        source: the log.
        headless: whether its files have no header line, so that columns are numbered.
        table: columns as they are in Parquet and JSON; text in CSV and TSV, null where
            empty.
        last: a few records from its end, where it can be read from there.
        rows: about how many records the log has.
        complete: whether these are all of them.
    """

    source: Source
    headless: bool
    table: pa.Table
    last: pa.Table
    rows: int
    complete: bool


@dataclass(frozen=True)
class _Part:
    table: pa.Table
    last: pa.Table
    rows: float
    complete: bool


def read_sample(source: Source, max_rows: int) -> Sample:
    """Reads up to about `max_rows` records, from the beginning of up to 64 files.

    Raises:
        DataError: if a file cannot be read, or the log holds no record.
    """
    files = list(source.files)
    if len(files) > _MAX_FILES:
        step = len(files) / _MAX_FILES
        files = [files[int(number * step)] for number in range(_MAX_FILES)]
    budget = max(max_rows // len(files), 100)
    header = None
    if files[0].format in ("csv", "tsv"):
        header = _header(files[0])
    parts = [_read(file, budget, header, file is files[-1]) for file in files]
    table = _concat([part.table for part in parts])
    if table.num_rows == 0:
        raise DataError(
            f"{source.pattern} holds no record that can be read, expected at least one:"
            " check how the log is written, or give --format"
        )
    shown = sum(file.bytes for file in files)
    everything = sum(file.bytes for file in source.files)
    rows = sum(part.rows for part in parts) * everything / shown
    complete = shown == everything and all(part.complete for part in parts)
    return Sample(
        source=source,
        headless=header is not None and header.headless,
        table=table,
        last=_concat([part.last for part in parts]),
        rows=table.num_rows if complete else max(round(rows), table.num_rows),
        complete=complete,
    )


@dataclass(frozen=True)
class _Header:
    columns: tuple[str, ...]
    headless: bool


def _read(file: LogFile, budget: int, header: _Header | None, is_last: bool) -> _Part:
    try:
        if file.format == "parquet":
            return _read_parquet(file, budget)
        lines, share, ended = _first_lines(file, budget + 2)  # header, one more
        if header is not None and not header.headless:
            lines = lines[1:]
        rows = len(lines) / max(share, 1e-9)
        complete = ended and len(lines) <= budget
        tail = [] if complete or not is_last else _last_lines(file)
        return _Part(
            _parse(file, lines[:budget], header),
            _parse(file, tail, header),
            rows,
            complete,
        )
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, pa.ArrowInvalid) as error:
        raise stream_errors(file, error) from error


def _first_lines(file: LogFile, count: int) -> tuple[list[bytes], float, bool]:
    """Returns the first lines, about what share of the file they are, and whether they
    are all of it."""
    lines: list[bytes] = []
    size = 0
    with open(file.path, "rb") as raw, _decompressed(raw, file) as stream:
        for line in islice(stream, count):
            lines.append(line)
            size += len(line)
            if size > _MAX_BYTES:
                break
        else:
            if len(lines) < count:
                lines[:1] = [line.removeprefix(b"\xef\xbb\xbf") for line in lines[:1]]
                return lines, 1.0, True
        position = size if file.compression == "none" else raw.tell()
    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
    return lines, min(position / file.bytes, 1.0), False


def _decompressed(raw: IO[bytes], file: LogFile) -> Any:
    if file.compression == "gzip":
        return gzip.GzipFile(fileobj=raw)
    if file.compression == "bz2":
        return bz2.BZ2File(raw)
    if file.compression == "zstd":
        stream = pa.input_stream(raw, compression="zstd")
        return io.BufferedReader(cast(io.RawIOBase, stream))
    return raw


def _last_lines(file: LogFile) -> list[bytes]:
    if file.compression != "none":
        return []
    with open(file.path, "rb") as stream:
        stream.seek(max(file.bytes - _TAIL_BYTES, 0))
        return stream.read().splitlines(keepends=True)[1:]


def _parse(file: LogFile, lines: list[bytes], header: _Header | None) -> pa.Table:
    if not lines:
        return pa.table({})
    if header is None:
        return _parse_json(lines)
    content = b"".join(lines).decode(errors="replace").encode()
    quoted = file.format == "csv" and b'"' in content
    options = pacsv.ReadOptions(
        column_names=list(header.columns), block_size=max(len(content), 1 << 20)
    )
    return pacsv.read_csv(
        io.BytesIO(content),
        read_options=options,
        parse_options=pacsv.ParseOptions(
            delimiter=delimiter_of(file.format),
            quote_char='"' if quoted else False,
            newlines_in_values=quoted,
            invalid_row_handler=lambda row: "skip",
        ),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(header.columns, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _parse_json(lines: Sequence[bytes]) -> pa.Table:
    records = []
    for line in lines:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict):
            records.append(record)
    names = dict.fromkeys(name for record in records for name in record)
    return pa.table({n: _json_column([r.get(n) for r in records]) for n in names})


def _json_column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Text and numbers in one column: it is text.
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def _read_parquet(file: LogFile, budget: int) -> _Part:
    with parquet_file(file.path) as parquet:
        rows = int(parquet.metadata.num_rows)
        batches, count = [], 0
        for batch in parquet.iter_batches(batch_size=min(budget, 65_536)):
            batches.append(batch)
            count += batch.num_rows
            if count >= budget:
                break
        schema = parquet.schema_arrow
        table = pa.Table.from_batches(batches, schema=schema).slice(0, budget)
        last = schema.empty_table()
        if rows > budget:
            group = parquet.read_row_group(parquet.metadata.num_row_groups - 1)
            last = group.slice(max(group.num_rows - 1_000, 0))
        return _Part(table, last, rows, rows <= budget)


def _header(file: LogFile) -> _Header:
    """Returns the columns of a CSV or TSV file, and whether they had to be numbered."""
    lines, _, _ = _first_lines(file, 1_000)
    if not lines:
        return _Header((), False)
    text = [line.decode(errors="replace") for line in lines]
    first = read_header(text[0], file.format)
    if file.format == "csv":
        rows = list(csv.reader(text[1:]))
    else:
        rows = [line.rstrip("\r\n").split("\t") for line in text[1:]]
    below = list(zip(*[row for row in rows if len(row) == len(first)], strict=True))
    if _are_names(first, below):
        return _Header(first, False)
    width = len(str(len(first)))
    names = tuple(f"column_{n + 1:0{width}}" for n in range(len(first)))
    return _Header(names, True)


def _are_names(first: tuple[str, ...], below: list[tuple[str, ...]]) -> bool:
    """Whether a line holds names: all differ, and they are of another form than what
    stands below them, or at least stand there once."""
    if not all(first) or len(set(first)) != len(first):
        return False
    if not below:
        return not any(_NUMBER.fullmatch(name) for name in first)
    for name, values in zip(first, below, strict=True):
        numbers = all(_NUMBER.fullmatch(value) for value in values if value)
        if numbers and any(values) and not _NUMBER.fullmatch(name):
            return True
    return not any(
        _NUMBER.fullmatch(name) or name in values
        for name, values in zip(first, below, strict=True)
    )


def _concat(tables: list[pa.Table]) -> pa.Table:
    filled = [table for table in tables if table.num_rows]
    if not filled:
        return pa.table({})
    try:
        joined = pa.concat_tables(filled, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        joined = pa.concat_tables(
            [_as_text(t) for t in filled], promote_options="default"
        )
    return joined.combine_chunks()


def _as_text(table: pa.Table) -> pa.Table:
    """Makes text of every column that is no list, where files differ in types."""
    columns = {
        name: table[name]
        if pa.types.is_nested(table[name].type)
        else table[name].cast(pa.string())
        for name in table.column_names
    }
    return pa.table(columns)
