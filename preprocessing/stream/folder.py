"""Logs that appear as files in folders.

Every file is a partition, and keeps its name. A JSON lines file may grow: what ends in
a line break has arrived, and so has a last line that is a whole record. Files of other
kinds (CSV, Parquet, all that are compressed) are read once, as a whole: put them there
under their final names when they are complete.

The file whose next record is the oldest is read first, some lines at a time. So files
that follow each other are read one after the other, files that were written side by
side are read side by side, and no log runs ahead of the others.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import orjson

from configs.data import LogFiles
from configs.errors import DataError
from configs.job import Job
from preprocessing.fields import (
    IMPRESSIONS,
    Field,
    behaviour_log_name,
    event_log_name,
    fields_by_log,
)
from preprocessing.files import LogFile, find_files
from preprocessing.future import now_ms, refuse_future
from preprocessing.inspection import first_times
from preprocessing.normalize import REASON
from preprocessing.read_jsonl import read_json_lines
from preprocessing.stream.arrivals import Frozen, Part, Range

__all__ = ["FolderArrivals"]

_SHARES = 32
"""A micro-batch is put together of about so many pieces."""
_PEEK = 64
"""Records from which the time of the next one is told, where the first is damaged."""
_CHUNK = 1 << 20
_MAX_FILES = 4_096
"""Files of a micro-batch; opening more at once is no faster."""


@dataclass(kw_only=True)
class _Reading:
    """A file that is not read to its end, as far as it is frozen.

    Attributes:
        file: the file.
        start: where the micro-batch begins.
        stop: where it ends.
        records: between these.
        end: of what has arrived.
        head: time of the record at `stop`, ms; None where it cannot be told.
    """

    file: LogFile
    start: int
    stop: int
    end: int
    records: int = 0
    head: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is more."""
        return self.stop < self.end


class FolderArrivals:
    """`data.impressions`, `data.events` and `data.behaviours` as their files appear."""

    def __init__(self, job: Job) -> None:
        join = None if job.stream is None else job.stream.join
        self._future = None if join is None else join.future
        self._fields = fields_by_log(job)
        self._logs: dict[str, tuple[LogFiles, str]] = {
            IMPRESSIONS: (job.data.impressions, "data.impressions")
        }
        for label, log in job.data.events.items():
            self._logs[event_log_name(label)] = (log, f"data.events.{label}")
        for name, own in job.data.behaviours.items():
            self._logs[behaviour_log_name(name)] = (own, f"data.behaviours.{name}")
        self._heads: dict[tuple[str, int], int | None] = {}

    def freeze(self, positions: Mapping[str, int], max_records: int) -> Frozen:
        """Decides what the next micro-batch reads (`arrivals.Arrivals`).

        Raises:
            DataError: if a file became shorter, or was read whole and became longer.
        """
        readings = list(self._unread(positions))
        queue: list[tuple[float, int]] = []
        for number, reading in enumerate(readings):
            reading.head = self._head(reading)
            queue.append((_rank(reading.head), number))
        heapq.heapify(queue)
        records, begun = 0, 0
        while queue and records < max_records and begun < _MAX_FILES:
            number = heapq.heappop(queue)[1]
            reading = readings[number]
            begun += reading.stop == reading.start
            wanted = min(max_records // _SHARES + 1, max_records - records)
            records += _read_on(reading, wanted)
            if reading.is_open:
                reading.head = self._head(reading)
                heapq.heappush(queue, (_rank(reading.head), number))
        self._heads = {(r.file.path, r.stop): r.head for r in readings if r.is_open}
        return Frozen(
            ranges={
                r.file.path: Range(
                    log=r.file.log,
                    start=r.start,
                    stop=r.stop,
                    behind=r.is_open,
                    head=r.head if r.is_open else None,
                )
                for r in readings
            },
            impressions=sum(r.records for r in readings if r.file.log == IMPRESSIONS),
            left=sum(r.end - r.stop for r in readings),
            unit="bytes",
            gone=tuple(sorted(p for p in positions if not Path(p).exists())),
        )

    def parts(self, frozen: Frozen, folder: Path) -> list[Part]:
        """Returns the ranges as they lie in the files (`arrivals.Arrivals`).

        Raises:
            DataError: if a file is gone, became shorter, or was to be read whole and
                became longer.
        """
        present = {file.path: file for file in self._files()}
        parts = []
        for path, range_ in frozen.ranges.items():
            if range_.start == range_.stop:
                continue
            file = present.get(path)
            if file is None or not _is_as_frozen(file, range_):
                what = "is gone" if file is None else "has changed"
                raise DataError(
                    f"{path} {what}, and a micro-batch that was begun reads it: put it"
                    " back. Files of a stream may be removed when the state's"
                    " commit.json says that they are read"
                )
            grows = _grows(file)
            parts.append(
                Part(
                    partition=path,
                    file=file,
                    start=range_.start if grows else 0,
                    stop=range_.stop if grows else None,
                )
            )
        return parts

    def positions(self, before: Mapping[str, int], frozen: Frozen) -> dict[str, int]:
        """Returns where each file is read to; those that are gone are left out."""
        after = {**before, **{p: r.stop for p, r in frozen.ranges.items()}}
        return {path: stop for path, stop in after.items() if path not in frozen.gone}

    def _files(self) -> Iterator[LogFile]:
        for log, (section, place) in self._logs.items():
            yield from find_files(
                log, section, place, may_be_empty=True, may_be_absent=True
            )

    def _unread(self, positions: Mapping[str, int]) -> Iterator[_Reading]:
        for file in self._files():
            start = positions.get(file.path, 0)
            if file.bytes < start:
                raise DataError(
                    f"{file.path} has {file.bytes:,} bytes, and {start:,} of it were"
                    " read: files of a stream only grow. Write a new file in place of"
                    " overwriting one"
                )
            if file.bytes > start and start and not _grows(file):
                raise DataError(
                    f"{file.path} has {file.bytes:,} bytes, and was read when it had"
                    f" {start:,}: files of its kind are read once, as a whole."
                    " Write new records into new files, or as uncompressed JSON lines"
                )
            if file.bytes > start:
                end = _arrived(file, start) if _grows(file) else file.bytes
                if end > start:
                    yield _Reading(file=file, start=start, stop=start, end=end)

    def _head(self, reading: _Reading) -> int | None:
        file = reading.file
        key = (file.path, reading.stop)
        if key not in self._heads:
            # A record of the future must not let those behind it wait: it is passed
            # over, as one without a time is.
            fields = refuse_future(self._fields, now_ms(), self._future)[file.log]
            own = next(field for field in fields if field.name == "time")
            self._heads[key] = _next_time(file, reading.stop, own)
        return self._heads[key]


def _grows(file: LogFile) -> bool:
    return file.format == "jsonl" and file.compression == "none"


def _is_as_frozen(file: LogFile, frozen: Range) -> bool:
    """Whether a file still begins with what was frozen of it, as its size tells."""
    if _grows(file):
        return file.bytes >= frozen.stop
    return file.bytes == frozen.stop


def _rank(head: int | None) -> float:
    return float("-inf") if head is None else head


def _arrived(file: LogFile, start: int) -> int:
    """Returns where the last whole record ends."""
    with open(file.path, "rb") as stream:
        stop = file.bytes
        rest = b""
        while stop > start:
            begin = max(start, stop - _CHUNK)
            stream.seek(begin)
            rest = stream.read(stop - begin) + rest
            end = rest.rfind(b"\n") + 1
            if end:
                last, end = rest[end:], begin + end
                break
            stop = begin
        else:
            last, end = rest, start
    # Half an object is none, so one that can be read is whole.
    return end + len(last) if last and _is_record(last) else end


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False


def _read_on(reading: _Reading, wanted: int) -> int:
    """Takes some more records of a file; returns how many."""
    file = reading.file
    if not _grows(file):
        reading.stop = reading.end
        reading.records = taken = max(1, file.bytes // 100)  # enough for what is rough
        return taken
    with open(file.path, "rb") as stream:
        stream.seek(reading.stop)
        taken = 0
        while taken < wanted and reading.is_open:
            data = stream.read(min(_CHUNK, reading.end - reading.stop))
            lines = data.count(b"\n")
            if taken + lines < wanted:
                taken += lines
                reading.stop += len(data)
            else:
                reading.stop += _after_lines(data, wanted - taken)
                taken = wanted
    reading.records += taken
    return max(taken, 1)


def _after_lines(data: bytes, count: int) -> int:
    end = 0
    for _ in range(count):
        end = data.find(b"\n", end) + 1
    return end


def _next_time(file: LogFile, start: int, own: Field) -> int | None:
    """Returns the time of the next record that has one, None if there is none near."""
    if not _grows(file):
        return next(iter(first_times(file, own)), None)
    with open(file.path, "rb") as stream:
        stream.seek(start)
        for line in _lines(stream):
            found = read_json_lines(line, [own])
            if found.num_rows and found[REASON][0].as_py() == 0:
                value: int = found["time"][0].as_py()
                return value
    return None


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    for _ in range(_PEEK):
        line = stream.readline()
        if not line:
            return
        yield line
