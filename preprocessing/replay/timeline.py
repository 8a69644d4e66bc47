"""All records of all logs in the order of their times.

Only times and places are held in memory, 26 bytes a record; the lines stay in their
files.
"""

import json
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from configs.errors import DataError
from configs.times import NO_TIME, time_ms
from preprocessing.fields import Field
from preprocessing.normalize import REASON
from preprocessing.read_jsonl import read_json_lines

__all__ = ["Timeline", "TimelineBuilder", "time_field"]

_PIECE = 8 << 20
"""Bytes of lines whose times are read at once."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Records by time; of one time in the order of logs, files and lines.

    Attributes:
        times: of the records, ascending, ms since the epoch, [N].
        logs: number of each record's log, [N].
    """

    times: Integers
    logs: npt.NDArray[np.int16]
    _files: list[mmap.mmap]
    _file_of: npt.NDArray[np.int32]
    _starts: Integers
    _sizes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.times)

    def line(self, number: int) -> bytes:
        """Returns a record, without a line break."""
        start = int(self._starts[number])
        file = self._files[self._file_of[number]]
        line: bytes = file[start : start + int(self._sizes[number])]
        return line


@dataclass
class TimelineBuilder:
    """Gathers files, then orders their records."""

    _files: list[mmap.mmap] = field(default_factory=list)
    _parts: list[tuple[Integers, Integers, Integers, int]] = field(default_factory=list)

    def add(self, log: int, path: Path, time: Field) -> int:
        """Adds a file of JSON lines.

        A line without a time that can be read comes right after the line before it.

        Args:
            log: number of its log.
            path: of the file.
            time: how the log spells times.

        Returns:
            The number of its records.
        """
        with path.open("rb") as stream:
            if not stream.seek(0, 2):
                return 0
            self._files.append(
                mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)  # keeps the file
            )
            stream.seek(0)
            starts, ends, times = _scan(stream, time)
        self._parts.append((starts, ends - starts, _filled(times), log))
        return len(starts)

    def ordered(self, limit: int | None) -> Timeline:
        """Returns the first `limit` records by time, all if None.

        Raises:
            DataError: if there is no record with a time.
        """
        sizes = [len(starts) for starts, *_ in self._parts]
        nothing = np.zeros(0, np.int64)
        times = np.concatenate([part[2] for part in self._parts] or [nothing])
        if not len(times) or (times == NO_TIME).all():
            raise DataError(
                "none of the logs has a record whose time can be read: check data.* and"
                " the unit of the time columns"
            )
        order = np.argsort(times, kind="stable")[:limit]
        # A file without any time is played first.
        first = times[times != NO_TIME].min()
        counts = np.asarray(sizes)
        return Timeline(
            times=np.maximum(times[order], first).astype(np.int64),
            logs=np.repeat(
                np.asarray([part[3] for part in self._parts], np.int16), counts
            )[order],
            _files=self._files,
            _file_of=np.repeat(np.arange(len(counts), dtype=np.int32), counts)[order],
            _starts=np.concatenate([part[0] for part in self._parts])[order],
            _sizes=np.concatenate([part[1] for part in self._parts])[order].astype(
                np.int32
            ),
        )


def _scan(stream: IO[bytes], time: Field) -> tuple[Integers, Integers, Integers]:
    """Returns where each line starts and ends, and its time or `NO_TIME`."""
    starts, ends, times = [], [], []
    offset = 0
    while data := stream.read(_PIECE):
        data += stream.readline()
        breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        if not data.endswith(b"\n"):
            breaks = np.append(breaks, len(data))
        first = np.concatenate([[0], breaks[:-1] + 1])
        filled = breaks > first
        first, last = first[filled], breaks[filled]
        starts.append(first + offset)
        ends.append(last + offset)
        times.append(_times(data, first, last, time))
        offset += len(data)
    if not starts:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(times)


def _times(data: bytes, first: Integers, last: Integers, time: Field) -> Integers:
    table = read_json_lines(data, [time])
    if table.num_rows == len(first) and not table[REASON].to_numpy().any():
        times: Integers = table[time.name].to_numpy()
        return times
    lines = zip(first.tolist(), last.tolist(), strict=True)
    return np.asarray([_time(data[a:b], time) for a, b in lines], np.int64)


def _time(line: bytes, time: Field) -> int:
    try:
        record = json.loads(line)
        return time_ms(record[time.column], time.unit)
    except (ValueError, KeyError, TypeError, RecursionError):
        return NO_TIME


def _filled(times: Integers) -> Integers:
    """Gives records without a time that of the one before, the first ones that of the
    first that has any."""
    known = times != NO_TIME
    if known.all() or not known.any():
        return times
    places = np.where(known, np.arange(len(times)), -1)
    places = np.maximum.accumulate(places)
    places[places < 0] = np.flatnonzero(known)[0]
    filled: Integers = times[places]
    return filled


def time_field(fields: Sequence[Field]) -> Field:
    """Returns the field with the time of a log's records."""
    return next(field for field in fields if field.kind == "time")
