"""Streams the delimited text files that public data sets are shipped as."""

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from configs.errors import DataError

__all__ = ["Layout", "file_in", "line_error", "read_batches"]

_BLOCK_BYTES = 1 << 24
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a file must look like.

    Attributes:
        of: the file, for messages.
        types: of the columns, by name. Without a header line their order counts.
        header: whether the first line names the columns, in any order.
        delimiter: between the values of a line.
        quotes: whether text may stand in double quotes.
        nullable: the columns of numbers that may be empty.
        null_texts: what stands for a missing number, beside nothing.
        block_bytes: read at a time; a line must be shorter.
    """

    of: str
    types: dict[str, pa.DataType]
    header: bool = True
    delimiter: str = ","
    quotes: bool = False
    nullable: tuple[str, ...] = ()
    null_texts: tuple[str, ...] = ()
    block_bytes: int | None = None


def file_in(folder: str | Path, name: str) -> Path:
    """Returns the file `name` of a folder, or `name`.gz.

    Raises:
        DataError: if the folder holds neither.
    """
    for candidate in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    if not Path(folder).is_dir():
        raise DataError(f"{folder} is no folder, expected the one that holds {name}")
    found = sorted(path.name for path in Path(folder).iterdir())[:8]
    raise DataError(
        f"{folder} holds no {name} (or {name}.gz), but {', '.join(found) or 'nothing'}"
    )


def read_batches(path: Path, layout: Layout) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yields the lines of a file, plain or gzip, a block at a time.

    Yields:
        The number of the block's first line in the file, from 1, and its rows, with the
        columns of `layout.types`.

    Raises:
        DataError: if the file cannot be read, is cut off, or a line is not of the
            layout; the message names the file and the line.
    """
    names = _names_in(path, layout) if layout.header else list(layout.types)
    line = 1 + layout.header
    wrong: list[pa_csv.InvalidRow] = []
    try:
        with _open(path) as file, _reader(file, names, layout, wrong) as reader:
            for batch in reader:
                if batch.num_rows:
                    batch = batch.select(list(layout.types))
                    _check_filled(path, line, batch, layout)
                    yield line, batch
                    line += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise _refusal(path, layout, line, wrong, error) from error
    if line == 1 + layout.header:
        raise DataError(f"{path}: Empty CSV file, expected {layout.of}")
    _warn_if_unfinished(path, line - 1)


def line_error(path: Path, line: int, problem: str) -> DataError:
    """Returns the error that a line of a file is wrong."""
    return DataError(f"{path}, line {line}: {problem}. Remove or repair the line")


def _open(path: Path) -> pa.NativeFile:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return pa.input_stream(str(path), compression="gzip" if packed else None)


def _names_in(path: Path, layout: Layout) -> list[str]:
    """Returns the names of the header line, which must be those of the layout."""
    try:
        with _open(path) as file:
            start = file.read(1 << 16)
    except OSError as error:
        raise _refusal(path, layout, 1, [], error) from error
    first = start.split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    names = [name.strip(' "\r') for name in first.split(layout.delimiter)]
    missing = [name for name in layout.types if name not in names]
    more = [name for name in names if name not in layout.types]
    if missing or more:
        raise DataError(
            f"{path}, line 1: the header is not that of {layout.of}: lacks"
            f" {', '.join(missing[:5]) or 'nothing'}, and has besides"
            f" {', '.join(repr(name[:40]) for name in more[:5]) or 'nothing'}. Expected"
            f" {layout.delimiter.join(layout.types)[:200]}"
        )
    return names


def _reader(
    file: pa.NativeFile,
    names: list[str],
    layout: Layout,
    wrong: list[pa_csv.InvalidRow],
) -> pa_csv.CSVStreamingReader:
    def refuse(row: pa_csv.InvalidRow) -> str:
        wrong.append(row)
        return "error"

    return pa_csv.open_csv(
        file,
        # Lines are numbered only where one thread reads them.
        pa_csv.ReadOptions(
            column_names=names,
            skip_rows=int(layout.header),
            block_size=layout.block_bytes or _BLOCK_BYTES,
            use_threads=False,
        ),
        pa_csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char='"' if layout.quotes else False,
            ignore_empty_lines=False,
            invalid_row_handler=refuse,
        ),
        pa_csv.ConvertOptions(
            column_types=layout.types,
            null_values=["", *layout.null_texts],
            strings_can_be_null=False,
        ),
    )


def _check_filled(path: Path, line: int, batch: pa.RecordBatch, layout: Layout) -> None:
    for name in layout.types:
        column = batch.column(name)
        if column.null_count and name not in layout.nullable:
            place = pc.index(column.is_null(), True).as_py()
            raise line_error(path, line + place, f"the {name} is missing")


def _refusal(
    path: Path,
    layout: Layout,
    line: int,
    wrong: list[pa_csv.InvalidRow],
    error: Exception,
) -> DataError:
    if wrong:
        row = wrong[0]
        return line_error(
            path,
            row.number,
            f"found {row.actual_columns} values, expected {len(layout.types)}"
            f" ({layout.of}): {row.text[:80]!r}",
        )
    named = re.search(r"Row #(\d+): (.*)", str(error), re.DOTALL)
    if named:
        return line_error(path, int(named[1]), f"{named[2]} ({layout.of})")
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(f"cannot read {path}: {error}")
    if isinstance(error, OSError):
        line = _readable_lines(path) + 1
    return DataError(
        f"{path}, line {line}: {error}. The file is damaged or cut off there, or not"
        f" {layout.of}: fetch it again"
    )


def _readable_lines(path: Path) -> int:
    """Returns the number of whole lines of a gzip file before what is damaged."""
    lines = 0
    with contextlib.suppress(OSError), _open(path) as file:
        while part := file.read(1 << 16):
            lines += part.count(b"\n")
    return lines


def _warn_if_unfinished(path: Path, last_line: int) -> None:
    """A plain file that was cut off inside its last value still looks whole."""
    with path.open("rb") as file:
        if file.read(2) == _GZIP_MAGIC:
            return
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            print(
                f"note: {path} ends inside line {last_line}, without a newline: it may"
                " be cut off",
                file=sys.stderr,
            )
