"""A small job, and example sets for it, written with TensorFlow's own classes."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from configs import Job, parse_job
from configs.contract import data_contract, fingerprint
from configs.layout import layout_of
from configs.manifest import sha256_of

JOB = """
name: small
data:
  impressions: {path: none.jsonl}
  events: {click: {path: none.jsonl, event: e, key: k, time: t}}
  examples: FOLDER/examples
  run: FOLDER/run
  models: FOLDER/models
features:
  user: {kind: categorical, group: user, embedding: {buckets: 50}}
  item: {kind: categorical, group: item, embedding: {vocabulary: {min_count: 2}}}
  tags: {kind: multi_valued, group: item, max_length: 3, embedding: {buckets: 11}}
  price: {kind: numeric, group: item, transform: standardize, missing: indicator}
  vector: {kind: dense, group: item, length: 2}
  history:
    kind: sequence
    max_length: 4
    fields: {item: {shares: item}, age: {kind: numeric, transform: log1p}}
ids: {event: event, time: time, user: user, item: item}
labels: {click: {window: 30m}}
model:
  embedding_dim: 4
  backbone: {name: dcn_v2, cross_layers: 1, hidden: [8], dropout: 0.2}
  tasks: {click: {}}
training:
  batch_size: 16
  seed: 3
  deterministic: true
"""


def small_job(folder: Path, *overrides: str) -> Job:
    """Returns the job with its artifacts under `folder`."""
    return parse_job(JOB.replace("FOLDER", str(folder)), overrides)


def random_rows(job: Job, rows: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Returns rows by layout key. Clicks depend on user, item and price."""
    layout = layout_of(job)
    rng = np.random.default_rng(seed)
    out = []
    for number in range(rows):
        user, item = int(rng.integers(20)), int(rng.integers(12))
        price = float(rng.normal())
        logit = 1.5 * np.sin(user) + 1.5 * np.cos(3 * item) + price
        p = 1.0 / (1.0 + np.exp(-logit))
        past = int(rng.integers(0, 5))
        row = {
            "labels": np.full(len(layout.labels), float(rng.random() < p)),
            "truth": np.full(len(layout.labels), p),
            "ids": np.array([1000 * seed + number, user, item][: len(layout.ids)]),
            "event_time": np.array([number]),
            "event_kind": np.array([0]),
            "negative_keep_rate": np.array([1.0]),
            "categorical": np.array([user * 7919 + 5, item * 104729 + 11]),
            "numeric": np.array([price if rng.random() < 0.9 else np.nan]),
            "dense": rng.normal(size=2),
            "multi_valued/tags": rng.integers(0, 99, int(rng.integers(0, 4))),
            "sequence/history/item": rng.integers(0, 12, past) * 104729 + 11,
            "sequence/history/age": rng.exponential(size=past),
        }
        out.append(row)
    return out


FLOATS = {"labels", "truth", "negative_keep_rate", "numeric", "dense"}


def example(row: dict[str, np.ndarray]) -> bytes:
    """Serializes a row as tf.train.Example."""
    feature = {}
    for key, values in row.items():
        if key in FLOATS or key.endswith("/age"):
            value = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            value = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        feature[key] = value
    message = tf.train.Example(features=tf.train.Features(feature=feature))
    return message.SerializeToString()


def write_example_set(
    job: Job,
    splits: dict[str, list[list[dict[str, np.ndarray]]]],
    *,
    sampled: bool = False,
    zipped: bool = False,
) -> Path:
    """Writes shards of rows by split to `job.data.examples`."""
    folder = Path(job.data.examples)
    described = {}
    for name, shards in splits.items():
        described[name] = _write_split(folder, name, shards, job, sampled, zipped)
    contract = data_contract(job)
    manifest = {
        "job": job.name,
        "fingerprint": fingerprint(contract),
        "contract": contract,
        "splits": described,
        "counters": {},
        "dead_letters": {},
    }
    _write_statistics(folder, splits)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def small_example_set(job: Job, *, zipped: bool = False) -> Path:
    """Writes 3 training shards (150 rows) and validation and test splits of 60."""
    rows = random_rows(job, 150, seed=1)
    splits = {
        "train": [rows[:40], rows[40:41], rows[41:]],
        "validation": [random_rows(job, 60, seed=2)],
        "test": [random_rows(job, 60, seed=3)],
    }
    return write_example_set(job, splits, zipped=zipped)


def _write_split(folder, name, shards, job, sampled, zipped):
    (folder / name).mkdir(parents=True, exist_ok=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP" if zipped else "")
    listed = []
    for number, rows in enumerate(shards):
        path = f"{name}/{number:05d}.tfrecord" + (".gz" if zipped else "")
        with tf.io.TFRecordWriter(str(folder / path), options) as writer:
            for row in rows:
                writer.write(example(row))
        size = (folder / path).stat().st_size
        digest = sha256_of(folder / path)
        listed.append(
            {"path": path, "rows": len(rows), "bytes": size, "sha256": digest}
        )
    everything = [row for shard in shards for row in shard]
    positives = {
        label: int(sum(row["labels"][k] for row in everything))
        for k, label in enumerate(job.labels)
    }
    return {
        "rows": len(everything),
        "positives": positives,
        "first_time": 0 if everything else None,
        "last_time": len(everything) if everything else None,
        "sampled": sampled,
        "shards": listed,
    }


def _write_statistics(folder, splits):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [row for shard in splits.get("train", []) for row in shard]
    prices = np.array([row["numeric"][0] for row in rows] or [0.0])
    known = prices[~np.isnan(prices)]
    one = {
        "weight": len(known),
        "missing_weight": int(np.isnan(prices).sum()),
        "mean": float(known.mean()),
        "stddev": float(known.std()),
        "log1p_mean": 0.0,
        "log1p_stddev": 1.0,
        "minimum": float(known.min()),
        "maximum": float(known.max()),
    }
    numeric = {"price": one, "history.age": one}
    (folder / "statistics.json").write_text(json.dumps({"numeric": numeric}))
    (folder / "counts").mkdir(exist_ok=True)
    columns = {
        "item": [int(row["categorical"][1]) for row in rows],
        "history.item": [int(v) for row in rows for v in row["sequence/history/item"]],
    }
    for name, values in columns.items():
        fingerprints, counts = np.unique(np.array(values, np.int64), return_counts=True)
        table = pa.table(
            {
                "fingerprint": pa.array(fingerprints, pa.int64()),
                "count": pa.array(counts.astype(np.float64)),
            }
        )
        pq.write_table(table, folder / "counts" / f"{name}.parquet")
