"""Tells which logs the given files and folders hold: files named alike are one log."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from configs.data import LogFiles
from configs.days import path_of_day
from configs.errors import DataError
from preprocessing.files import Format, LogFile, find_files

__all__ = ["Source", "find_sources"]

_PART = re.compile(r"part[-_]\d")
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")

_SUFFIXES = (
    *(".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".pq"),
    *(".gz", ".gzip", ".zst", ".zstd", ".bz2"),
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A log.

    Attributes:
        name: what the names of its files have in common.
        pattern: path or glob that finds its files and no others, `{day}` for dates.
        format: if it was given, and is not told by the names.
        files: sorted by path.
    """

    name: str
    pattern: str
    format: Format | None
    files: tuple[LogFile, ...]


def find_sources(paths: Sequence[str], format: Format | None = None) -> list[Source]:
    """Returns the logs that files, folders (searched to any depth) and globs hold.

    Raises:
        DataError: if there is none, or no glob finds the files of a log and no others.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for path in dict.fromkeys(p for given in paths for p in _expand(given, format)):
        groups.setdefault(_name_of(path), []).append(path)
    sources = []
    alike = [name for name, _ in groups]
    for (name, ending), found in groups.items():
        name = name if alike.count(name) == 1 else f"{name}{ending}"
        pattern = _pattern(sorted(found))
        section = LogFiles(path=pattern, format=format)
        files = tuple(find_files(name, section, f"the log {name!r}"))
        sources.append(Source(name=name, pattern=pattern, format=format, files=files))
    return sources


def _expand(path: str, format: Format | None) -> list[str]:
    if os.path.isdir(path):
        found = [
            str(file)
            for file in sorted(Path(path).rglob("*"))
            if file.is_file()
            and not file.name.startswith((".", "_"))
            and (format is not None or _is_log(file))
        ]
        known = ", ".join(_SUFFIXES[:7])
        if not found:
            raise DataError(
                f"the folder {path} holds no log files. Expected names that end with"
                f" {known} (or with .gz and the like after that); or give --format"
            )
        return found
    found = sorted(p for p in glob.glob(path, recursive=True) if os.path.isfile(p))
    if not found:
        raise DataError(
            f"no file or folder matches {path!r} (looked in {os.getcwd()}): check the"
            " path"
        )
    return found


def _is_log(file: Path) -> bool:
    suffixes = [s for s in (suffix.lower() for suffix in file.suffixes)]
    return any(suffix in _SUFFIXES[:7] for suffix in suffixes[-2:]) and (
        # A summary beside the logs is a document, and no log of one record a line.
        suffixes[-1] != ".json" or b"\n{" in file.open("rb").read(1 << 20)
    )


def _name_of(path: str) -> tuple[str, str]:
    """Returns the name of a file without numbers and dates, and its endings. Parts that
    a cluster wrote (part-00000-...) have the name of their folder."""
    folder, name = os.path.split(path)
    ending = ""
    while os.path.splitext(name)[1].lower() in _SUFFIXES:
        name, suffix = os.path.splitext(name)
        ending = suffix + ending
    words = "" if _PART.match(name) else _words(name)
    while not words and folder not in ("", os.sep):
        folder, name = os.path.split(folder)
        words = _words(name)
    return words or "log", ending


def _words(name: str) -> str:
    words = re.sub(r"(part|day|dt|date|hour)?[-_.=]*\d[\d\-_.T:]*", "", name)
    return words.strip("-_.= ")


def _pattern(paths: list[str]) -> str:
    """Returns a glob that finds the files and no others."""
    if len(paths) == 1:
        return glob.escape(paths[0])
    # Dates first, so that the job can also be run day by day.
    for named in ([_DATE.sub("{day}", path) for path in paths], paths):
        parts = [path.split(os.sep) for path in named]
        if len({len(part) for part in parts}) > 1:
            continue
        pattern = os.sep.join(_common(column) for column in zip(*parts, strict=True))
        if sorted(glob.glob(path_of_day(pattern, None))) == paths:
            return pattern
    raise DataError(
        f"{paths[0]}, {paths[1]} and others ({len(paths)} files) are one log by their"
        " names, but no glob finds them and no other file, and a job file names a log"
        " by one: put them into a folder of their own, or name fewer"
    )


def _common(names: tuple[str, ...]) -> str:
    if len(set(names)) == 1:
        return glob.escape(names[0])
    start = _prefix(names)
    end = _prefix([name[len(start) :][::-1] for name in names])[::-1]
    return f"{glob.escape(start)}*{glob.escape(end)}"


def _prefix(names: Sequence[str]) -> str:
    low, high = min(names), max(names)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return "".join(first for first, _ in same)
