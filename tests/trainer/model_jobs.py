"""Small jobs with every kind of feature, and batches for them."""

from typing import Any

import numpy as np
import tensorflow as tf
import yaml

from configs.job import Job
from configs.layout import FINGERPRINT_RANGE, PADDING, layout_of
from configs.loading import parse_job
from configs.manifest import NumericStatistics, Statistics

BASE = """
name: small
data: {impressions: logs.jsonl, examples: examples, run: run, models: models}
features:
  user_id: {kind: categorical, group: user, embedding: {buckets: 50}}
  article: {kind: categorical, group: item, embedding: {buckets: 40}}
  topic: {kind: categorical, group: item, embedding: {dim: 3, vocabulary: {}}}
  device: {kind: categorical, embedding: {vocabulary: {min_count: 2}}}
  tags: {kind: multi_valued, group: item, max_length: 4, embedding: {buckets: 9}}
  labels: {kind: multi_valued, group: context, pooling: sum, shares: tags}
  age: {kind: numeric, transform: [log1p, standardize], missing: indicator}
  price: {kind: numeric, transform: [standardize, log1p]}
  score: {kind: numeric}
  hour: {kind: numeric, group: context, bucketize: {boundaries: [6, 12, 18]}}
  hits: {kind: numeric, group: user, bucketize: {scheme: log2, dim: 3}}
  picture: {kind: dense, group: item, length: 3}
  history:
    kind: sequence
    max_length: 5
    fields:
      item: {shares: article}
      topic: {shares: topic}
      place: {embedding: {dim: 2, buckets: 11}}
      delay: {kind: numeric, transform: log1p}
ids: {event: id, time: time, user: user_id, item: article}
labels: {click: {column: click}, conversion: {column: conversion}}
model:
  embedding_dim: 4
  backbone: {name: dcn_v2, hidden: [8, 6], cross_layers: 2}
  tasks: {click: {}}
training: {embedding_initial_stddev: 0.5}
"""

NUMBERS = ("age", "price", "score", "hour", "hits", "history.delay")


def small_job(*overrides: str) -> Job:
    """Returns the job, with `--set` overrides."""
    return parse_job(BASE, overrides)


def linear_job() -> Job:
    """Returns the job as a logistic regression."""
    return even_job("{name: logistic_regression}", 1)


def even_job(backbone: str, dim: int = 4, *overrides: str) -> Job:
    """Returns the job with another backbone, and embeddings of one width."""
    values = yaml.safe_load(BASE)
    values["model"] |= {"embedding_dim": dim, "backbone": yaml.safe_load(backbone)}
    for feature in values["features"].values():
        for part in (feature, *feature.get("fields", {}).values()):
            for section in (part.get("embedding"), part.get("bucketize")):
                if section:
                    section.pop("dim", None)
    return parse_job(yaml.safe_dump(values, sort_keys=False), overrides)


def statistics(seed: int = 3) -> Statistics:
    """Returns made-up statistics of all numbers."""
    random = np.random.default_rng(seed)
    return Statistics(
        numeric={
            name: NumericStatistics(
                weight=10.0,
                missing_weight=1.0,
                mean=float(random.normal()),
                stddev=float(random.uniform(0.5, 2.0)),
                log1p_mean=float(random.normal()),
                log1p_stddev=float(random.uniform(0.5, 2.0)),
                minimum=-9.0,
                maximum=9.0,
            )
            for name in NUMBERS
        }
    )


def vocabularies(seed: int = 4) -> dict[str, Any]:
    """Returns small vocabularies of the tables that need one."""
    random = np.random.default_rng(seed)
    return {
        name: np.unique(random.integers(0, FINGERPRINT_RANGE, size, dtype=np.int64))
        for name, size in (("topic", 6), ("device", 4))
    }


def random_batch(job: Job, rows: int, seed: int = 0) -> dict[str, tf.Tensor]:
    """Returns a batch with all keys of the layout; values repeat, some are missing."""
    random = np.random.default_rng(seed)
    layout = layout_of(job)
    known = np.concatenate([*vocabularies().values()])
    pool = np.concatenate(
        [known, random.integers(0, FINGERPRINT_RANGE, 12, dtype=np.int64)]
    )

    def ids(*shape: int) -> Any:
        return random.choice(pool, shape)

    def numbers(*shape: int) -> Any:
        values = (random.normal(size=shape) * 5.0).astype(np.float32)
        return np.where(random.random(shape) < 0.2, np.float32(np.nan), values)

    def ragged(length: int) -> Any:
        return np.arange(length) < random.integers(0, length + 1, (rows, 1))

    batch: dict[str, Any] = {
        "labels": random.integers(0, 2, (rows, len(layout.labels))).astype(np.float32),
        "truth": np.full((rows, len(layout.labels)), np.nan, np.float32),
        "ids": ids(rows, len(layout.ids)),
        "event_time": np.arange(rows, dtype=np.int64),
        "event_kind": np.zeros(rows, np.int64),
        "negative_keep_rate": np.ones(rows, np.float32),
        "categorical": ids(rows, len(layout.categorical)),
        "numeric": numbers(rows, len(layout.numeric)),
        "dense": random.normal(size=(rows, sum(layout.dense.values()))),
    }
    batch["dense"] = batch["dense"].astype(np.float32)
    if layout.late:
        batch["label_kinds"] = random.integers(0, 5, (rows, len(layout.labels)))
        batch["elapsed"] = random.integers(0, 10**9, rows)
    for name, length in layout.multi_valued.items():
        values = ids(rows, min(length, 4))
        batch[f"multi_valued/{name}"] = np.where(
            ragged(min(length, 4)), values, PADDING
        )
    for name, sequence in layout.sequences.items():
        mask = ragged(sequence.max_length)
        for field in sequence.fields:
            if field in sequence.numeric:
                values = np.abs(numbers(rows, sequence.max_length))
                batch[f"sequence/{name}/{field}"] = np.where(mask, values, np.nan)
            else:
                values = ids(rows, sequence.max_length)
                batch[f"sequence/{name}/{field}"] = np.where(mask, values, PADDING)
    return {
        key: tf.constant(v.astype(np.float32) if v.dtype == np.float64 else v)
        for key, v in batch.items()
    }
