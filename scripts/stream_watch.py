"""What a stream is doing, told from the files that its processes write.

join      data.examples/00000000/manifest.json, ...   records read, by counter
trainer   data.run/metrics.jsonl                      a line for each window
          data.run/checkpoints/<step>/state.json
publisher data.models/<version>/                      and decisions.jsonl
server    its status, over HTTP
"""

import itertools
import json
import statistics
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import RequestError
from configs.job import Job
from configs.manifest import MANIFEST_FILE, StreamBatch, read_manifest
from configs.stream_sets import stream_sets
from serving.client import Client

__all__ = ["HEADER", "PARTS", "Watch", "delays", "mean_of", "median_delays"]

_RECENT = 5
"""Windows whose log loss the live line averages."""
HEADER = "  events/s  lag rows  lag age  log loss  best reachable  version"
"""Of the line that lives: records that the join reads; examples that are not learned
yet; the age of the newest event that is; log loss of the last windows before they were
learned, and of the true probabilities; the version that answers."""

_PACE_SECONDS = 15.0
"""The rate is that of so long; the join works in batches."""

PARTS = (
    "event to example (label windows and join)",
    "example to learned window",
    "learned window to the checkpoint that is published",
    "checkpoint to version (gate, export, proof)",
    "version to served (load, warm-up)",
)
"""What happens between an event and its effect in the served model, in order."""


@dataclass
class Watch:
    """What was seen so far; `look` looks again.

    Attributes:
        job: whose files are read.
        client: of the server.
        records: that the join has read, all logs together.
        published: examples that the join has made for the trainer.
        counters: of the join, summed over its batches.
        windows: lines of the trainer, in order.
        checkpoints: by step, when each was complete, seconds since the epoch.
        versions: by version, when it was first seen.
        steps: by version, the step that it was exported from.
        served: by version, when it was first seen to answer.
        decisions: of the publisher.
    """

    job: Job
    client: Client
    records: int = 0
    published: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    windows: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: dict[int, float] = field(default_factory=dict)
    versions: dict[int, float] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    served: dict[int, float] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    _sets: dict[int, tuple[float, StreamBatch | None]] = field(default_factory=dict)
    _pace: deque[tuple[float, int]] = field(default_factory=deque)
    _offset: int = 0

    def look(self) -> None:
        """Reads what is new."""
        self._look_at_sets()
        self._look_at_windows()
        run, models = Path(self.job.data.run), Path(self.job.data.models)
        for state in run.glob("checkpoints/*/state.json"):
            if state.parent.name.isdecimal():
                self.checkpoints.setdefault(int(state.parent.name), _written(state))
        for model in models.glob("*/saved_model.pb"):
            if model.parent.name.isdecimal():
                # Its own files are older: they were written before they were proved.
                self.versions.setdefault(int(model.parent.name), time.time())
        self.decisions = _lines(models / "decisions.jsonl")
        for state in run.glob("published/*/state.json"):
            if state.parent.name.isdecimal():
                found = json.loads(state.read_text())
                self.steps.setdefault(int(state.parent.name), int(found["step"]))
        self._look_at_server()
        self._pace.append((time.monotonic(), self.records))
        while self._pace[-1][0] - self._pace[0][0] > _PACE_SECONDS:
            self._pace.popleft()

    @property
    def rate(self) -> float:
        """Records that the join reads a second, over the last ones."""
        (first, before), (last, after) = self._pace[0], self._pace[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @property
    def learned(self) -> int:
        """Rows that the trainer has learned from."""
        return sum(window["rows"] for window in self.windows)

    @property
    def version(self) -> int | None:
        """The version that answered last."""
        return max(self.served, key=lambda v: self.served[v], default=None)

    def line(self) -> str:
        """Returns the line that lives, below HEADER."""
        lag, age, recent = "-", "-", self.windows[-_RECENT:]
        if recent:
            last = recent[-1]
            lag = f"{last['lag_rows']:,}"
            age = f"{time.time() - last['last_time'] / 1_000:.0f} s"
        loss = _shown(mean_of(recent, "log_loss"))
        best = _shown(mean_of(recent, "log_loss", "truth"))
        rate, version = f"{self.rate:,.0f}", str(self.version or "-")
        return f" {rate:>9} {lag:>9} {age:>8} {loss:>9} {best:>15} {version:>8}"

    def arrived(self, window: dict[str, Any]) -> float | None:
        """Returns when the last example of a window was published, seconds since the
        epoch: with its example set, also where it came through Kafka."""
        position = window["position"]
        if "set" in position:
            found = self._sets.get(int(position["set"]))
            return None if found is None else found[0]
        for written, batch in self._sets.values():
            topics = {} if batch is None else batch.topics
            if all(
                topics.get(topic, {}).get(int(partition), 0) >= offset
                for topic, offsets in position.items()
                for partition, offset in offsets.items()
            ):
                return written
        return None

    def _look_at_sets(self) -> None:
        for number, folder in stream_sets(self.job.data.examples).items():
            if number in self._sets:
                continue
            manifest = read_manifest(folder)
            self._sets[number] = _written(folder / MANIFEST_FILE), manifest.stream
            split = manifest.splits.get("train")
            self.published += split.rows if split else 0
            for name, count in manifest.counters.items():
                self.counters[name] = self.counters.get(name, 0) + count
                if name.endswith(".read"):
                    self.records += count

    def _look_at_windows(self) -> None:
        path = Path(self.job.data.run) / "metrics.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self._offset += len(line)
                record = json.loads(line)
                if record["kind"] == "window":
                    self.windows.append(record)

    def _look_at_server(self) -> None:
        try:
            found = self.client.status()["model_version_status"]
        except RequestError:
            return
        answering = [int(v["version"]) for v in found if v["state"] == "AVAILABLE"]
        for version in answering:
            self.served.setdefault(version, time.time())


def mean_of(
    windows: Sequence[dict[str, Any]], metric: str, of: str = "model"
) -> float | None:
    """Returns a metric of the first task over windows, weighted by their rows.

    Args:
        windows: lines of the trainer.
        metric: its name.
        of: `model` for the model that learns, `truth` for the true probabilities,
            `served` for the served version.
    """
    pairs = [
        (window["rows"], value)
        for window in windows
        if (value := _metric(window, metric, of)) is not None
    ]
    rows = sum(pair[0] for pair in pairs)
    return sum(n * value for n, value in pairs) / rows if rows else None


def delays(watch: Watch) -> list[tuple[int, tuple[float, ...]]]:
    """Returns for each window that is in a served version its rows, and the seconds of
    each of PARTS: from the middle of its events to the first answer of the first
    version that has learned from it."""
    found = []
    for window in watch.windows:
        middle = (window["first_time"] + window["last_time"]) / 2_000
        learned = window["last_time"] / 1_000 + window["freshness_s"]
        versions = [
            v
            for v, step in watch.steps.items()
            if step >= window["step"]
            and step in watch.checkpoints
            and v in watch.versions
            and v in watch.served
        ]
        arrived = watch.arrived(window)
        if not versions or arrived is None:
            continue
        version = min(versions, key=lambda v: watch.served[v])
        moments = [
            middle,
            arrived,
            learned,
            watch.checkpoints[watch.steps[version]],
            watch.versions[version],
            watch.served[version],
        ]
        spans = tuple(b - a for a, b in itertools.pairwise(moments))
        found.append((window["rows"], spans))
    return found


def median_delays(watch: Watch) -> dict[str, float] | None:
    """Returns the median over windows of the whole delay and of each part, seconds."""
    found = [spans for _, spans in delays(watch)]
    if not found:
        return None
    whole = {"event to served model": statistics.median(map(sum, found))}
    parts = zip(PARTS, zip(*found, strict=True), strict=True)
    return whole | {name: statistics.median(values) for name, values in parts}


def _metric(window: dict[str, Any], metric: str, of: str) -> float | None:
    tasks = window["tasks"]
    if of == "served":
        tasks = (window["served"] or {"tasks": {}})["tasks"]
    figures: dict[str, Any] = next(iter(tasks.values()), {})
    if of == "truth":
        figures = figures.get("truth") or {}
    value: float | None = figures.get(metric)
    return value


def _written(path: Path) -> float:
    return path.stat().st_mtime


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
