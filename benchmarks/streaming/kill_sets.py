"""A small job with dropout, and example sets for it, for the proof by kills."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from configs.contract import data_contract, fingerprint
from configs.job import Job
from configs.layout import EVENT_TIME
from configs.loading import dump_job, parse_job
from configs.manifest import (
    MANIFEST_FILE,
    STATISTICS_FILE,
    ExampleSplit,
    Manifest,
    NumericStatistics,
    Shard,
    Statistics,
    counts_file,
    sha256_of,
)
from configs.stream_sets import set_name
from trainer.device_check.example_set import serialized

__all__ = ["examples_of", "write_job", "write_sets"]

_JOB = """
name: kills
data: {impressions: none.jsonl}
features:
  user: {kind: categorical, group: user, embedding: {buckets: 5000}}
  item:
    kind: categorical
    group: item
    embedding: {vocabulary: {min_count: 3, spare: 2000}}
  tags: {kind: multi_valued, group: item, max_length: 4, embedding: {buckets: 500}}
  price: {kind: numeric, group: item, transform: standardize}
ids: {event: event, time: time, user: user}
labels: {click: {column: click}}
preprocessing: {split: {by: hash, validation: 0.0, test: 0.0}}
model:
  embedding_dim: 8
  backbone: {name: dnn, hidden: [32], dropout: 0.2}
  tasks: {click: {losses: [{name: bce}]}}
training:
  batch_size: 32
  deterministic: true
  keep_checkpoints: 2
  optimizer: {embeddings: {name: lazy_adam}}
stream:
  train: {window_rows: 64, window_wait: 1h, checkpoint_windows: 3}
"""


def write_job(folder: Path, *overrides: str) -> Path:
    """Writes a job whose artifacts lie under `folder`; returns the file."""
    sections = {name: str(folder / name) for name in ("examples", "run", "models")}
    paths = [f"data.{name}={path}" for name, path in sections.items()]
    file = folder / "job.yaml"
    file.write_text(dump_job(parse_job(_JOB, [*paths, *overrides])), encoding="utf-8")
    return file


def examples_of(rows: int, seed: int) -> list[tuple[int, bytes]]:
    """Returns event times, which are the ids too, and serialized examples."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(rows):
        # Some values are frequent, as in logs.
        user, item = (int(x) for x in random.zipf(1.3, 2))
        price = float(random.normal())
        click = float(random.random() < 1.0 / (1.0 + np.exp(1.0 - price)))
        row = {
            "labels": [click],
            "truth": [float("nan")],
            "ids": [number, user % 2**62],
            EVENT_TIME: [number],
            "event_kind": [0],
            "negative_keep_rate": [1.0],
            "categorical": [user * 7919 % 2**62, item * 104729 % 2**62],
            "numeric": [price],
            "multi_valued/tags": random.integers(0, 999, number % 5).tolist(),
        }
        made.append((number, serialized(row)))
    return made


def write_sets(job: Job, examples: list[tuple[int, bytes]], seed: int) -> int:
    """Divides examples among numbered sets of random sizes, some of them empty;
    returns the number of sets."""
    random = np.random.default_rng(seed)
    first = number = 0
    while first < len(examples):
        size = int(random.integers(0, 600)) * int(random.random() < 0.9)
        _write_set(job, number, examples[first : first + size])
        first, number = first + size, number + 1
    return number


def _write_set(job: Job, number: int, examples: list[tuple[int, bytes]]) -> None:
    folder = Path(job.data.examples) / set_name(number)
    (folder / "train").mkdir(parents=True)
    shards = []
    half = len(examples) // 2
    for part, rows in enumerate((examples[:half], examples[half:])):
        path = folder / f"train/{part:05d}.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for _, example in rows:
                writer.write(example)
        size, digest = path.stat().st_size, sha256_of(path)
        name = f"train/{part:05d}.tfrecord"
        shards.append(Shard(path=name, rows=len(rows), bytes=size, sha256=digest))
    times = [time for time, _ in examples]
    split = ExampleSplit(
        rows=len(examples),
        positives={"click": len(examples) // 4},
        first_time=min(times, default=None),
        last_time=max(times, default=None),
        sampled=False,
        shards=shards,
    )
    contract = data_contract(job)
    manifest = Manifest(
        job=job.name,
        fingerprint=fingerprint(contract),
        contract=contract,
        splits={"train": split},
        counters={},
        dead_letters={},
    )
    price = NumericStatistics(
        weight=len(examples),
        missing_weight=0,
        mean=0.0,
        stddev=1.0,
        log1p_mean=0.0,
        log1p_stddev=1.0,
        minimum=-6.0,
        maximum=6.0,
    )
    statistics = Statistics(numeric={"price": price})
    (folder / STATISTICS_FILE).write_text(statistics.model_dump_json(), "utf-8")
    # No value is known at first: the vocabulary is what the stream brings.
    counts = pa.table({"fingerprint": pa.array([], "i8"), "count": pa.array([], "f8")})
    (folder / counts_file("item")).parent.mkdir()
    pq.write_table(counts, folder / counts_file("item"))
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(), "utf-8")
