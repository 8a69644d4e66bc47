"""Small streams: folders of numbered sets, and what a run over them leaves."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks.streaming.kills import TIMED
from configs import Job
from tests.trainer.example_sets import random_rows, small_job, write_example_set

SIZES = (70, 0, 33, 64, 21)
"""Rows of the sets; 188 together."""

WINDOWS = (
    "training.batch_size=16",
    "stream.train.window_rows=40",
    "stream.train.checkpoint_windows=2",
)


def stream_job(folder: Path, *overrides: str) -> Job:
    return small_job(folder, *WINDOWS, *overrides)


def publish(job: Job, number: int, rows: int, *, split: str = "train") -> Path:
    """Writes one set; the rows are a function of its number."""
    folder = Path(job.data.examples) / f"{number:08d}"
    partial = folder.with_name(f".{folder.name}.partial")
    one = job.model_copy(
        update={"data": job.data.model_copy(update={"examples": str(partial)})}
    )
    made = random_rows(job, rows, seed=100 + number)
    shards = [made[: rows // 3], made[rows // 3 :]]
    write_example_set(one, {split: shards if rows else []})
    partial.rename(folder)
    return folder


def publish_all(job: Job, sizes: tuple[int, ...] = SIZES) -> None:
    for number, rows in enumerate(sizes):
        publish(job, number, rows)


def windows(job: Job) -> list[dict[str, Any]]:
    lines = Path(job.data.run, "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [line for line in found if line["kind"] == "window"]


def untimed(job: Job) -> list[dict[str, Any]]:
    """The lines of windows without what depends on the clock."""
    return [{k: v for k, v in x.items() if k not in TIMED} for x in windows(job)]


def everything(job: Job) -> dict[str, Any]:
    """All variables and the state of the last checkpoint, as bytes."""
    folders = sorted(Path(job.data.run, "checkpoints").iterdir())
    reader = tf.train.load_checkpoint(str(folders[-1] / "variables"))
    names = reader.get_variable_to_shape_map()
    found = {name: reader.get_tensor(name).tobytes() for name in names}
    return found | {"state": json.loads((folders[-1] / "state.json").read_text())}


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return sorted(n for n in first.keys() | second.keys() if first[n] != second[n])
