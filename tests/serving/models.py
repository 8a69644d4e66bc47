"""Small exported models for the tests of serving: real SavedModels, fresh weights."""

from pathlib import Path
from typing import Any

import numpy as np

from configs.job import Job
from configs.loading import parse_job
from configs.manifest import NumericStatistics, Statistics
from serving.export_version import write_version
from serving.specification import specification_of

FULL_JOB = """
name: shop
data:
  impressions: logs/impressions.jsonl
  events:
    click: {path: logs/clicks.jsonl, event: click_id, key: impression_id, time: t}
    conversion:
      {path: logs/c.jsonl, event: order_id, key: click_id, time: t, joins: click}
  examples: examples
  run: run
  models: models
features:
  user: {kind: categorical, column: user_id, group: user,
         embedding: {buckets: 50}}
  item: {kind: categorical, column: item_id, type: int64, group: item,
         embedding: {buckets: 40}}
  tags: {kind: multi_valued, group: item, max_length: 3, embedding: {buckets: 20}}
  age: {kind: numeric, transform: log1p, missing: indicator}
  price: {kind: numeric, transform: standardize}
  look: {kind: dense, group: item, length: 3}
  history:
    kind: sequence
    max_length: 4
    fields:
      item: {shares: item}
      days: {kind: numeric, transform: log1p}
ids: {event: impression_id, time: t, user: user_id}
labels:
  click: {window: 30m}
  conversion: {window: 7d, after: click}
model:
  embedding_dim: 4
  backbone: {name: din, hidden: [8], attention_hidden: [4]}
  tasks:
    click: {losses: [{name: bce}]}
    conversion: {losses: [{name: bce}], given: click}
training: {embedding_initial_stddev: 1.0}
"""

SINGLE_JOB = """
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
training: {embedding_initial_stddev: 1.0}
"""

ROW: dict[str, Any] = {
    "user_id": "u1",
    "item_id": 7,
    "tags": ["red", "new"],
    "age": 3.5,
    "price": 19.0,
    "look": [0.1, 0.2, 0.3],
    "history_item": [5, 6, 7],
    "history_days": [1.0, 2.0, None],
}
"""A request row of the full job."""

ROWS: list[dict[str, Any]] = [
    ROW,
    dict.fromkeys(ROW),
    {**ROW, "user_id": "u2", "item_id": "8", "tags": [], "look": None},
    {**ROW, "history_item": list(range(9)), "history_days": [0.5] * 9},
    {**ROW, "tags": ["a", "", "b", "c", "d"], "age": None, "price": -4},
]


def job_of(text: str) -> Job:
    return parse_job(text)


def statistics_of(job: Job) -> Statistics:
    """Plausible statistics of every numeric input."""
    one = NumericStatistics(
        weight=100.0,
        missing_weight=10.0,
        mean=10.0,
        stddev=5.0,
        log1p_mean=2.0,
        log1p_stddev=0.5,
        minimum=0.0,
        maximum=50.0,
    )
    names = []
    for name, feature in job.features.items():
        if feature.kind == "numeric":
            names.append(name)
        elif feature.kind == "sequence":
            names += [
                f"{name}.{f}" for f, d in feature.fields.items() if d.kind == "numeric"
            ]
    return Statistics(numeric={name: one for name in names})


def inference_model(job: Job) -> Any:
    from trainer.inference import build_inference_model

    model = build_inference_model(
        job, statistics=statistics_of(job), vocabularies={}, seed=3
    )
    # Fresh biases are zero: give every weight a value that must survive the export.
    generator = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(generator.normal(0.0, 0.5, weight.shape).astype(np.float32))
    return model


def write_models(models: Path, text: str, rows: list[dict[str, Any]]) -> Path:
    """Exports version 1 under `models`, without the proofs; returns its folder."""
    job = job_of(text)
    folder = models / "1"
    folder.mkdir(parents=True)
    write_version(
        folder,
        job=job,
        model=inference_model(job),
        specification=specification_of(job),
        rows=rows,
        warmup_rows=4,
    )
    return folder
