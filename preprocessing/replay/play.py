"""Plays the logs of a job in the order of their times.

job = load_job("configs/demo.yaml")
target = FolderTarget(Path("build/logs"), stream_logs(job), overwrite=False)
replay(job, target, ReplaySettings(speed=60.0, shift_to_now=True))
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from configs.data import ROW_NUMBER, LogFiles
from configs.errors import JobError
from configs.job import Job
from configs.stream_rules import stream_logs
from preprocessing.fields import Field, event_fields, impression_fields
from preprocessing.files import find_files
from preprocessing.future import now_ms
from preprocessing.replay.clock import Clock, clock_of
from preprocessing.replay.lines import json_lines_of
from preprocessing.replay.progress import ReplayProgress
from preprocessing.replay.settings import ReplaySettings
from preprocessing.replay.stamping import Stamp, stamp_of
from preprocessing.replay.timeline import Timeline, TimelineBuilder, time_field

__all__ = ["ReplayTarget", "replay"]

_CHUNK = 20_000
"""Records that are handed on at once, at most."""


class ReplayTarget(Protocol):
    """Takes records as they are played."""

    def write(
        self, lines: Mapping[str, list[bytes]], times: Mapping[str, Sequence[int]]
    ) -> None:
        """Takes records of each log, and the times that they bear, ms."""

    def close(self) -> None:
        """Returns when all records are where they belong."""


def replay(
    job: Job,
    target: ReplayTarget,
    settings: ReplaySettings,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Plays the logs of `job`; side tables are no part of them.

    Args:
        job: whose logs they are.
        target: where the records go.
        settings: of the replay.
        stopped: returns whether to end early.

    Returns:
        How many records were played.

    Raises:
        DataError: if a log cannot be read, or has no time that can.
        JobError: if the logs have no times of their own.
    """
    names = stream_logs(job)
    with tempfile.TemporaryDirectory(prefix="replay-") as spools:
        timeline = _timeline(job, Path(spools), settings.limit)
        first, last = int(timeline.times[0]), int(timeline.times[-1])
        clock = clock_of(first, last, len(timeline), settings, now_ms())
        stamps = [_stamp(_fields(job, name), clock) for name in names]
        played = _Player(timeline, clock, names, stamps).play(target, settings, stopped)
        target.close()
    return played


class _Player:
    def __init__(
        self, timeline: Timeline, clock: Clock, names: list[str], stamps: list[Stamp]
    ) -> None:
        self._timeline, self._clock = timeline, clock
        self._names, self._stamps = names, stamps
        self._played = 0

    def play(
        self,
        target: ReplayTarget,
        settings: ReplaySettings,
        stopped: Callable[[], bool],
    ) -> int:
        total = len(self._timeline)
        progress = ReplayProgress(total, self._clock.seconds)
        start = time.monotonic()
        tick = start
        while self._played < total and not stopped():
            reached = self._clock.reached(time.monotonic() - start)
            due = int(np.searchsorted(self._timeline.times, reached, side="right"))
            while self._played < due and not stopped():
                self._hand_on(target, min(due, self._played + _CHUNK))
                progress.show(self._played, self._at, self._behind(start))
            tick = max(tick + settings.interval, time.monotonic())
            if self._played < total:
                # The last file is not to wait for a whole interval.
                tick = min(tick, max(start + self._clock.seconds, time.monotonic()))
                progress.show(self._played, self._at, 0.0)
                time.sleep(max(tick - time.monotonic(), 0.001))
        return self._played

    def _hand_on(self, target: ReplayTarget, until: int) -> None:
        lines: dict[str, list[bytes]] = {name: [] for name in self._names}
        times: dict[str, list[int]] = {name: [] for name in self._names}
        for number in range(self._played, until):
            log = int(self._timeline.logs[number])
            line = self._stamps[log](self._timeline.line(number))
            lines[self._names[log]].append(line)
            times[self._names[log]].append(self._time(number))
        target.write(lines, times)
        self._played = until

    def _time(self, number: int) -> int:
        found = int(self._timeline.times[number])
        return found if self._clock.moved is None else self._clock.moved(found)

    def _at(self) -> int:
        return self._time(max(self._played - 1, 0))

    def _behind(self, start: float) -> float:
        if self._clock.speed is None:
            return 0.0
        due = self._clock.due(int(self._timeline.times[self._played - 1]))
        return time.monotonic() - start - due


def _timeline(job: Job, spools: Path, limit: int | None) -> Timeline:
    builder = TimelineBuilder()
    for number, name in enumerate(stream_logs(job)):
        fields = _fields(job, name)
        place, section = _section(job, name)
        found = time_field(fields)
        if found.column == ROW_NUMBER:
            raise JobError(
                f"{place} has {ROW_NUMBER} for its times: logs without times of their"
                " own cannot be played in the order of them"
            )
        for file in find_files(name, section, place, may_be_empty=True):
            spool = spools / f"{name}-{file.number}.jsonl"
            builder.add(number, json_lines_of(file, fields, spool), found)
    return builder.ordered(limit)


def _fields(job: Job, name: str) -> list[Field]:
    return impression_fields(job) if name == "impressions" else event_fields(job, name)


def _section(job: Job, name: str) -> tuple[str, LogFiles]:
    if name == "impressions":
        return "data.impressions", job.data.impressions
    if name in job.data.events:
        return f"data.events.{name}", job.data.events[name]
    return f"data.behaviours.{name}", job.data.behaviours[name]


def _stamp(fields: list[Field], clock: Clock) -> Stamp:
    return (lambda line: line) if clock.moved is None else stamp_of(fields, clock.moved)
