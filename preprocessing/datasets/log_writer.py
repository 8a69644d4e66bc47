"""Writes tables as numbered log files: Parquet, or JSON lines."""

import gzip
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["LogFormat", "LogWriter", "json_lines"]

LogFormat = Literal["parquet", "jsonl", "jsonl.gz"]

_ROW_GROUP = 131_072


class LogWriter:
    """Writes one kind of log as `<folder>/<name>-00000.<format>` and on.

    Args:
        folder: where the files go; it exists.
        name: of the log.
        log_format: of the files, also their suffix.
        rows_per_file: a new file is begun when one holds at least this many.
    """

    def __init__(
        self, folder: Path, name: str, log_format: LogFormat, rows_per_file: int
    ) -> None:
        self.rows = 0
        """Rows written so far."""
        self._folder, self._name, self._format = folder, name, log_format
        self._rows_per_file = rows_per_file
        self._files = 0
        self._rows_in_file = 0
        self._file: Any = None
        self._raw: IO[bytes] | None = None

    def __enter__(self) -> "LogWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def write(self, table: pa.Table) -> None:
        """Appends the rows of `table`; all tables have one schema."""
        if self._file is None or self._rows_in_file >= self._rows_per_file:
            self._close()
            self._open(table.schema)
        if self._format == "parquet":
            self._file.write_table(table, row_group_size=_ROW_GROUP)
        else:
            for line_block in json_lines(table):
                self._file.write(line_block)
        self._rows_in_file += table.num_rows
        self.rows += table.num_rows

    def _open(self, schema: pa.Schema) -> None:
        path = self._folder / f"{self._name}-{self._files:05d}.{self._format}"
        if self._format == "parquet":
            self._file = pq.ParquetWriter(path, schema, compression="zstd")
        elif self._format == "jsonl":
            self._file = path.open("wb")
        else:
            self._raw = path.open("wb")
            # No name and no time in the header: the same rows give the same bytes.
            self._file = gzip.GzipFile("", "wb", 1, self._raw, mtime=0)
        self._files += 1
        self._rows_in_file = 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._raw is not None:
            self._raw.close()
            self._raw = None


def json_lines(table: pa.Table) -> list[bytes]:
    """Returns `table` as JSON lines, one block of bytes for each of its batches.

    Whole columns are turned into text at once, about ten times as fast as a row at a
    time. A float must be finite.
    """
    blocks = []
    for batch in table.to_batches(max_chunksize=65_536):
        parts: list[Any] = ["{"]
        for position, name in enumerate(batch.schema.names):
            comma = "," if position else ""
            parts += [f'{comma}"{name}":', _json_text(batch.column(position))]
        rows = pc.binary_join_element_wise(*parts, "}", "")
        lines = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)
        blocks.append(pc.binary_join(lines, "\n")[0].as_py().encode() + b"\n")
    return blocks


def _json_text(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        # Of a slice: its own values, and offsets into them.
        offsets = pc.subtract(column.offsets, column.offsets[0])
        lists = pa.ListArray.from_arrays(offsets, _json_text(column.flatten()))
        joined = pc.binary_join(lists, ",")
        text = pc.binary_join_element_wise("[", joined, "]", "")
        text = pc.if_else(column.is_valid(), text, None)
    elif pa.types.is_string(column.type):
        escaped = pc.replace_substring(column, "\\", "\\\\")
        escaped = pc.replace_substring(escaped, '"', '\\"')
        text = pc.binary_join_element_wise('"', escaped, '"', "")
    else:
        text = column.cast(pa.string())
    return text.fill_null("null")
