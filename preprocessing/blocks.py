"""Cuts the files of the logs into blocks, the elements of the pipeline.

A block is a range of lines of an uncompressed file, some row groups of a Parquet file,
or a whole compressed file. A CSV file that holds a quote is not cut, because a line
break inside quotes cannot be told from one between records without reading it all.
"""

import mmap
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from configs.errors import DataError
from preprocessing.files import LogFile

__all__ = ["Block", "cut_lines", "file_has_quotes", "parquet_file", "plan_blocks"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a file.

    Attributes:
        number: of the block, in the order of logs and files.
        file: that it is a part of.
        start: first byte of a range of lines, 0 for other kinds.
        end: byte after the last one of a range of lines, 0 for other kinds.
        row_groups: of a Parquet file.
        columns: of a CSV or TSV file.
        skip_header: whether the block starts with a header line.
        quoted: whether a CSV block may hold quotes.
        first_row: number of its first record in the file, where these are counted.
    """

    number: int
    file: LogFile
    start: int = 0
    end: int = 0
    row_groups: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    skip_header: bool = False
    quoted: bool = True
    first_row: int = 0

    @property
    def is_range(self) -> bool:
        """Whether the block is a range of lines."""
        return self.end > 0


def plan_blocks(
    files: list[LogFile],
    headers: dict[str, tuple[str, ...]],
    block_bytes: int,
    numbered: Collection[str] = (),
) -> list[Block]:
    """Cuts files into blocks of about `block_bytes` bytes.

    Args:
        files: of all logs.
        headers: column names of CSV and TSV files, by path.
        block_bytes: size to aim at; lines are never cut.
        numbered: names of the logs whose records are numbered: lines of their files
            stay together.
    """
    blocks: list[Block] = []
    for file in files:
        whole = file.log in numbered
        for part in _parts(file, headers.get(file.path, ()), block_bytes, whole):
            blocks.append(Block(number=len(blocks), file=file, **part))
    return blocks


def file_has_quotes(path: str) -> bool:
    """Returns whether an uncompressed file holds a double quote anywhere."""
    with open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(b'"') >= 0


def parquet_file(path: str) -> pq.ParquetFile:
    """Opens a Parquet file.

    Raises:
        DataError: if it is none, or damaged.
    """
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({error}): write it again"
        ) from error


def _parts(
    file: LogFile, columns: tuple[str, ...], block_bytes: int, whole: bool
) -> Iterator[dict[str, Any]]:
    if file.format == "parquet":
        for groups, first_row in _row_groups(file.path, block_bytes):
            yield {"row_groups": groups, "first_row": first_row}
        return
    has_header = file.format != "jsonl" and file.columns is None
    common: dict[str, Any] = {"columns": columns}
    if file.compression != "none" or (whole and file.format != "csv"):
        yield {**common, "skip_header": has_header}
        return
    quoted = file.format == "csv" and file_has_quotes(file.path)
    if quoted or whole:
        yield {**common, "skip_header": has_header, "quoted": quoted}
        return
    for start, end in cut_lines(file, block_bytes):
        header = has_header and start == 0
        yield {
            **common,
            "start": start,
            "end": end,
            "skip_header": header,
            "quoted": False,
        }


def _row_groups(path: str, block_bytes: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yields row groups that make a block, and the number of their first row."""
    with parquet_file(path) as file:
        metadata = file.metadata
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
        sizes = [(group.total_byte_size, group.num_rows) for group in groups]
    gathered: list[int] = []
    size = first_row = next_row = 0
    for number, (group_size, rows) in enumerate(sizes):
        gathered.append(number)
        size += group_size
        next_row += rows
        if size >= block_bytes:
            yield tuple(gathered), first_row
            gathered, size, first_row = [], 0, next_row
    if gathered:
        yield tuple(gathered), first_row


def cut_lines(
    file: LogFile, block_bytes: int, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, int]]:
    """Cuts lines of an uncompressed file into ranges of about `block_bytes`; `start`
    and `stop` are where lines begin, the file's own unless given."""
    stop = file.bytes if stop is None else stop
    with open(file.path, "rb") as stream:
        while start < stop:
            stream.seek(min(start + block_bytes, stop) - 1)
            stream.readline()
            end = min(stream.tell(), stop)
            yield start, end
            start = end
