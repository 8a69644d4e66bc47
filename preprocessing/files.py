"""Finds the files of a log, and tells their format and compression."""

import bz2
import glob
import gzip
import os
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import IO, Literal, cast

import pyarrow as pa

from configs.data import LogFiles
from configs.days import path_of_day
from configs.errors import DataError

__all__ = ["Compression", "Format", "LogFile", "find_files", "open_stream"]

Format = Literal["jsonl", "csv", "tsv", "parquet"]
Compression = Literal["none", "gzip", "zstd", "bz2"]

_COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
}
_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """One file of a log.

    Attributes:
        log: name of the log in counters and dead letters.
        path: of the file.
        format: of its records.
        compression: of the file as a whole.
        bytes: its size.
        columns: names for the columns of a CSV or TSV file without a header.
        number: of the file in its log, from 0.
    """

    log: str
    path: str
    format: Format
    compression: Compression
    bytes: int
    columns: tuple[str, ...] | None = None
    number: int = 0


def find_files(
    log: str,
    files: LogFiles,
    place: str,
    day: date | None = None,
    *,
    may_be_empty: bool = False,
    may_be_absent: bool = False,
) -> list[LogFile]:
    """Returns the files that a section of the job file names, sorted by path.

    Args:
        log: name of the log.
        files: the section.
        place: where the section stands in the job file, for messages.
        day: fills `{day}` in the path; any day does if there is none.
        may_be_empty: whether there need not be a file with a byte in it.
        may_be_absent: whether there need not be any file.

    Raises:
        DataError: if there is no such file, none holds a byte, or the format cannot be
            told.
    """
    path = path_of_day(files.path, day)
    found = sorted(p for p in glob.glob(path, recursive=True) if os.path.isfile(p))
    if not found and not may_be_absent:
        raise DataError(
            f"{place}.path: no file matches {path!r} (looked in {os.getcwd()}):"
            " check the path; relative paths start from the working directory"
        )
    listed = [_log_file(log, path, files, place) for path in found]
    filled = [file for file in listed if file.bytes]
    if not filled and not may_be_empty:
        raise DataError(
            f"{place}.path: {', '.join(found[:3])}"
            f"{' and others are' if len(found) > 1 else ' is'} empty (0 bytes),"
            " expected log records: check how the log is written"
        )
    return [replace(file, number=number) for number, file in enumerate(filled)]


def open_stream(file: LogFile) -> IO[bytes]:
    """Opens a file, decompressed."""
    if file.compression == "gzip":
        return cast(IO[bytes], gzip.open(file.path, "rb"))
    if file.compression == "bz2":
        return cast(IO[bytes], bz2.open(file.path, "rb"))
    if file.compression == "zstd":
        return cast(IO[bytes], pa.input_stream(file.path, compression="zstd"))
    return open(file.path, "rb")


def _log_file(log: str, path: str, files: LogFiles, place: str) -> LogFile:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression: Compression = "none"
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        compression = _COMPRESSIONS[suffixes.pop()]
    format = files.format or (_FORMATS.get(suffixes[-1]) if suffixes else None)
    if format is None:
        raise DataError(
            f"{place}: cannot tell the format of {path} by its name: add"
            f" 'format' ({', '.join(sorted(set(_FORMATS.values())))})"
        )
    if format == "parquet" and compression != "none":
        raise DataError(
            f"{place}: {path} is a compressed Parquet file, which nothing can read in"
            " parts: decompress it (Parquet compresses its own columns)"
        )
    if files.columns and format not in ("csv", "tsv"):
        raise DataError(
            f"{place}.columns: {path} is {format}, which names its own columns: remove"
            " 'columns'"
        )
    return LogFile(
        log=log,
        path=path,
        format=format,
        compression=compression,
        bytes=os.path.getsize(path),
        columns=tuple(files.columns) if files.columns else None,
    )
