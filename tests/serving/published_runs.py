"""Runs, metrics and exports for the tests of publishing: files alone, no TensorFlow."""

import json
import os
import time
from pathlib import Path
from typing import Any

from configs.errors import ExportError
from configs.job import Job
from configs.loading import parse_job

JOB = """
name: tiny
data: {impressions: logs/i.jsonl, examples: examples, run: run, models: models}
features:
  word: {kind: categorical, embedding: {buckets: 10}}
ids: {event: id, time: t}
labels: {click: {column: clicked}}
model:
  embedding_dim: 1
  backbone: {name: logistic_regression}
  tasks: {click: {losses: [{name: bce}]}}
stream:
  train: {window_rows: 1000}
  publish:
    every: 10m
    keep_versions: 3
    gate: {windows: 3, min_rows: 1000, calibration: 0.2, log_loss: 0.01, max_age: 1h}
"""


def job_in(folder: Path, *changes: str) -> Job:
    places = {name: f"{folder}/{name}" for name in ("examples", "run", "models")}
    overrides = [f"data.{key}={value}" for key, value in places.items()]
    return parse_job(JOB, [*overrides, *changes])


def figures(**changes: Any) -> dict[str, Any]:
    """What a window says of a task."""
    found = {
        "rows": 1000,
        "weight": 1000.0,
        "positives": 100,
        "auc": 0.7,
        "log_loss": 0.3,
        "calibration": 1.0,
        "calibration_error": 0.1,
        "observed_rate": 0.1,
        "predicted_rate": 0.1,
        "undefined": {},
    }
    return {**found, **changes}


def window(step: int, *, served: int | None = None, **changes: Any) -> dict[str, Any]:
    """A line of metrics.jsonl. The served version is as good, unless `served_figures`
    says otherwise."""
    theirs = changes.pop("served_figures", {})
    other = None
    if served is not None:
        other = {"version": served, "step": 1, "tasks": {"click": figures(**theirs)}}
    return {
        "kind": "window",
        "step": step,
        "epoch": 0,
        "rows": 1000,
        "tasks": {"click": figures(**changes)},
        "served": other,
    }


class FakeRun:
    """A training run that is nothing but its files."""

    def __init__(self, job: Job) -> None:
        self.folder = Path(job.data.run)
        self.lines = self.folder / "metrics.jsonl"

    def checkpoint(
        self, step: int, *, keep: int = 2, rows: int | None = None, age: float = 0.0
    ) -> Path:
        """Writes a checkpoint, and removes older ones as the trainer does."""
        folder = self.folder / "checkpoints"
        target = folder / f"{step:08d}"
        partial = folder / f".{target.name}.partial"
        partial.mkdir(parents=True)
        state: dict[str, Any] = {"step": step, "best": None}
        if rows is not None:
            state["stream"] = {"rows": rows}
        (partial / "state.json").write_text(json.dumps(state))
        (partial / "variables.index").write_text(f"index of {step}")
        (partial / "variables.data-00000-of-00001").write_text(f"weights of {step}")
        moment = time.time() - age
        os.utime(partial / "state.json", (moment, moment))
        partial.rename(target)
        for old in sorted(p for p in folder.iterdir() if p.name.isdigit())[:-keep]:
            for path in old.iterdir():
                path.unlink()
            old.rmdir()
        return target

    def windows(self, *lines: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.lines.open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


class FakeExport:
    """Writes what a publisher looks at; fails if told so."""

    def __init__(self) -> None:
        self.exported: list[tuple[int, str]] = []
        self.error: BaseException | None = None

    def __call__(self, job: Job, checkpoint: Path, version: int, lock: int) -> None:
        if self.error is not None:
            raise self.error
        weights = (checkpoint / "variables.data-00000-of-00001").read_text()
        self.exported.append((version, weights))
        write_version(job, checkpoint, version)


def write_version(job: Job, checkpoint: Path, version: int) -> None:
    folder = Path(job.data.models) / str(version)
    if folder.exists():
        raise ExportError(f"{folder} exists already")
    state = json.loads((checkpoint / "state.json").read_text())
    partial = folder.with_name(f".{version}.partial-{os.getpid()}")
    (partial / "assets.extra").mkdir(parents=True)
    report = {"run": job.data.run, "step": state["step"], "version": version}
    (partial / "assets.extra/export.json").write_text(json.dumps(report))
    (partial / "saved_model.pb").write_text("")
    partial.rename(folder)
