"""A small job with made-up examples, for checks that need some."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from configs.contract import data_contract, fingerprint
from configs.job import Job
from configs.layout import layout_of
from configs.loading import dump_job, parse_job
from configs.manifest import (
    MANIFEST_FILE,
    STATISTICS_FILE,
    ExampleSplit,
    Manifest,
    NumericStatistics,
    Shard,
    Statistics,
    sha256_of,
)

__all__ = ["serialized", "write_example_job"]

_JOB = """
name: device-check
data: {impressions: none.jsonl}
features:
  user: {kind: categorical, group: user, embedding: {buckets: 50000}}
  item: {kind: categorical, group: item, embedding: {buckets: 10000}}
  tags: {kind: multi_valued, group: item, max_length: 4, embedding: {buckets: 500}}
  price: {kind: numeric, group: item}
ids: {event: event, time: time}
labels: {click: {column: click}}
model:
  embedding_dim: 16
  backbone: {name: dcn_v2, cross_layers: 2, hidden: [256, 128]}
  tasks: {click: {losses: [{name: combined_pair}]}}
training: {batch_size: 1024, optimizer: {embeddings: {name: lazy_adam}}}
"""

_ROWS = 20 * 1024 + 1
"""The last batch has one row: most devices have none of it."""

_SHARD = "train/00000.tfrecord"


def write_example_job(folder: Path) -> Path:
    """Writes a job and its example set under `folder`; returns the job file."""
    sections = {name: str(folder / name) for name in ("examples", "run", "models")}
    overrides = [f"data.{name}={path}" for name, path in sections.items()]
    job = parse_job(_JOB, overrides)
    examples = folder / "examples"
    path = examples / _SHARD
    path.parent.mkdir(parents=True)
    positives = _write_rows(path, job)
    shard = Shard(
        path=_SHARD, rows=_ROWS, bytes=path.stat().st_size, sha256=sha256_of(path)
    )
    split = ExampleSplit(
        rows=_ROWS,
        positives={"click": positives},
        first_time=0,
        last_time=_ROWS,
        sampled=False,
        shards=[shard],
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
        weight=_ROWS,
        missing_weight=0,
        mean=0.0,
        stddev=1.0,
        log1p_mean=0.0,
        log1p_stddev=1.0,
        minimum=-6.0,
        maximum=6.0,
    )
    statistics = Statistics(numeric={"price": price})
    (examples / STATISTICS_FILE).write_text(statistics.model_dump_json(), "utf-8")
    (examples / MANIFEST_FILE).write_text(manifest.model_dump_json(), "utf-8")
    file = folder / "job.yaml"
    file.write_text(dump_job(job), encoding="utf-8")
    return file


def _write_rows(path: Path, job: Job) -> int:
    """Writes rows whose clicks depend on the item and the price; returns the clicks."""
    random = np.random.default_rng(7)
    ids = len(layout_of(job).ids)
    positives = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(_ROWS):
            # Some values are frequent, as in logs: devices share rows of tables.
            user, item = (int(x) for x in random.zipf(1.3, 2))
            price = float(random.normal())
            click = float(random.random() < 1.0 / (1.0 + np.exp(1.0 - price)))
            positives += int(click)
            row = {
                "labels": [click],
                "truth": [float("nan")],
                "ids": [number] * ids,
                "event_time": [number],
                "event_kind": [0],
                "negative_keep_rate": [1.0],
                "categorical": [user * 7919 % 2**62, item * 104729 % 2**62],
                "numeric": [price],
                "multi_valued/tags": random.integers(0, 999, number % 5).tolist(),
            }
            writer.write(serialized(row))
    return positives


def serialized(row: dict[str, list[Any]]) -> bytes:
    """Returns a row by layout key as a `tf.train.Example`."""
    floats = ("labels", "truth", "negative_keep_rate", "numeric")
    feature = {
        key: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if key in floats
        else tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        for key, values in row.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return bytes(example.SerializeToString())
