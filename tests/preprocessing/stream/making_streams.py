"""Logs that come bit by bit, out of order, and a job that joins them as they come."""

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from configs import Job
from configs.days import day_bounds
from configs.manifest import Manifest, read_manifest
from configs.stream_sets import stream_sets
from preprocessing.stream.driver import StreamingJoin
from preprocessing.stream.state import State
from preprocessing.tfrecord import read_records
from tests.preprocessing.making_jobs import impression
from tests.preprocessing.test_histories import history_job, history_logs

START = day_bounds(date(2026, 1, 1))[0]
UNIT_MS = 216_000
"""Of the times of the random logs: 400 are a day."""
LATENESS = 3_600_000
END = START + 6 * 86_400_000
NAMES = ("impressions", "clicks", "conversions", "views")

Arriving = dict[str, list[tuple[int, dict[str, Any]]]]
"""Records of each log with the moments at which they come, in order."""


def stream_job(root: Path, *overrides: str, **join: Any) -> Job:
    """The job with histories over growing logs in `root/logs`."""
    section = {"state": f"{root}/state", "lateness": "1h", "memory": "10d"} | join
    logs = {
        "impressions": "impressions",
        "events.click": "clicks",
        "events.conversion": "conversions",
        "behaviours.view": "views",
    }
    return history_job(
        root,
        "data.impressions={path: nowhere}",
        *(f"data.{n}.path={root}/logs/{f}*.jsonl" for n, f in logs.items()),
        "labels.click.window=6h",
        "labels.conversion.window=18h",
        "preprocessing.sampling={negative_keep_rate: 0.7}",
        f"stream.join={json.dumps(section)}",
        *overrides,
    )


def random_arrivals(seed: int) -> Arriving:
    """Random logs, each record up to the lateness after its time, and an impression a
    month later, after which nothing is open."""
    rng = np.random.default_rng(seed)
    shown, clicks, conversions, views = history_logs(seed)
    shown += [impression(900 + n, 410 * (n + 1)) for n in range(5)]
    # What answers something comes after it; else nobody could know that it will.
    clicks = _after(clicks, "impression", shown, "impression")
    conversions = _after(conversions, "click", clicks, "click")
    found: Arriving = {}
    logs = (shown, clicks, conversions, views)
    for name, log in zip(NAMES, logs, strict=True):
        key = "at" if name == "views" else "time"
        found[name] = []
        for record in log:
            time = START + record[key] * UNIT_MS
            moment = time + int(rng.integers(0, LATENESS))
            found[name].append((moment, record | {key: time}))
        found[name].sort(key=lambda arriving: arriving[0])
    last = END + 30 * 86_400_000
    found["impressions"].append((last, impression(999, last)))
    return found


def _after(events: list[Any], key: str, targets: list[Any], name: str) -> list[Any]:
    first: dict[str, int] = {}
    for target in targets:
        time = target["time"]
        first[target[name]] = min(first.get(target[name], time), time)
    return [e for e in events if e["time"] >= first.get(e[key], e["time"])]


class Feed:
    """Writes what has arrived into files that grow."""

    def __init__(self, root: Path, arriving: Arriving) -> None:
        self.folder = root / "logs"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._left = {name: list(records) for name, records in arriving.items()}
        for name in arriving:
            (self.folder / f"{name}.jsonl").touch()

    def until(self, moment: float, part: str = "") -> None:
        """Appends the records that have come by a moment."""
        for name, records in self._left.items():
            with open(self.folder / f"{name}{part}.jsonl", "a") as file:
                while records and records[0][0] <= moment:
                    file.write(json.dumps(records.pop(0)[1]) + "\n")


def read_all(job: Job) -> list[Manifest]:
    """Joins all that has arrived, and returns the manifests of the sets made."""
    assert job.stream is not None and job.stream.join is not None
    state = State(job.stream.join.state)
    made = []
    with state.locked():
        stream = StreamingJoin(job, state)
        manifest = stream.recover() or stream.step()
        while manifest is not None:
            made.append(manifest)
            manifest = stream.step()
    return made


def rows_of(folder: Path) -> Counter[tuple[str, bytes]]:
    """The bytes of all examples of a set, by split."""
    manifest = read_manifest(folder)
    return Counter(
        (split, record)
        for split, listed in manifest.splits.items()
        for shard in listed.shards
        for record in read_records(folder / shard.path)
    )


def rows_of_stream(job: Job) -> Counter[tuple[str, bytes]]:
    """The same of all sets of a stream."""
    total: Counter[tuple[str, bytes]] = Counter()
    for folder in stream_sets(job.data.examples).values():
        total += rows_of(folder)
    return total


def totals(manifests: list[Manifest]) -> Counter[str]:
    """Counters and dead letters of all sets."""
    total: Counter[str] = Counter()
    for manifest in manifests:
        total.update(manifest.counters)
        total.update(manifest.dead_letters)
    return total


def files_under(*roots: Path) -> dict[str, bytes]:
    """All files of folders that a stream leaves, by path."""
    return {
        str(path.relative_to(root.parent)): path.read_bytes()
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }
