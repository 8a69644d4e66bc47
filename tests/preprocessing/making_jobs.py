"""A small job over small logs, for the tests of the whole pipeline."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from configs import Job, parse_job
from configs.manifest import Manifest

Record = dict[str, Any]

JOB = """
name: small
data:
  impressions: {root}/impressions.jsonl
  events:
    click:
      path: {root}/clicks.jsonl
      event: click
      key: impression
      time: time
    conversion:
      path: {root}/conversions.jsonl
      event: conversion
      key: click
      time: time
      joins: click
  examples: {root}/examples
  run: {root}/run
  models: {root}/models
features:
  user: {kind: categorical, group: user, type: int64, embedding: {buckets: 10}}
  item: {kind: categorical, group: item, embedding: {buckets: 10}}
  device: {kind: categorical, embedding: {buckets: 10}}
  tags: {kind: multi_valued, max_length: 2, embedding: {buckets: 10}}
  price: {kind: numeric}
  vector: {kind: dense, length: 2}
  history:
    kind: sequence
    max_length: 3
    fields:
      item: {shares: item}
      age: {kind: numeric}
ids: {event: impression, time: time, user: user, item: item, request: request}
labels:
  click: {window: 100ms, truth: truth}
  conversion: {window: 300ms, after: click}
preprocessing:
  buckets: 4
  golden_rows: 5
  dead_letters: {max_share: 1.0}
model:
  embedding_dim: 4
  backbone: {name: dcn_v2}
  tasks:
    click: {losses: [{name: bce}]}
    conversion: {given: click, losses: [{name: bce}]}
"""


def small_job(root: Path, *overrides: str) -> Job:
    """Returns the job over the logs in `root`."""
    return parse_job(JOB.replace("{root}", str(root)), overrides)


def run(job: Job, **options: Any) -> Manifest:
    """Preprocesses, replacing what is there."""
    from preprocessing.run import preprocess

    return preprocess(job, overwrite=True, **options)


def write_lines(path: Path, records: list[Any]) -> None:
    """Writes JSON lines; text is written as it is."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_logs(root: Path, logs: tuple[list[Any], list[Any], list[Any]]) -> None:
    """Writes impressions, clicks and conversions."""
    for name, records in zip(
        ("impressions", "clicks", "conversions"), logs, strict=True
    ):
        write_lines(root / f"{name}.jsonl", records)


def impression(number: int, time: int, **values: Any) -> Record:
    """Returns an impression."""
    record: Record = {
        "impression": f"i{number}",
        "time": time,
        "user": number % 7,
        "item": f"item {number % 5}",
        "request": f"r{number // 3}",
        "device": ("phone", "desk")[number % 2],
        "tags": ["a", "b", "c"][: number % 4],
        "price": number / 8,
        "vector": [1.0, 2.0],
        "history_item": ["x", "y", "z", "w"][: number % 5],
        "history_age": [4.0, 3.0, 2.0, 1.0][: number % 5],
        "truth": 0.25,
    }
    return record | values


def random_logs(
    seed: int, impressions: int = 120
) -> tuple[list[Record], list[Record], list[Record]]:
    """Returns logs with few distinct times, so that ties and duplicates abound."""
    chance = random.Random(seed)  # noqa: S311 (a test's)
    shown = [impression(n, chance.randrange(0, 1200)) for n in range(impressions)]
    for record in chance.sample(shown, impressions // 6):
        shown.append(record | {"time": record["time"] + chance.choice([-5, 0, 0, 5])})
    clicks = []
    for number in range(impressions):
        key = chance.randrange(impressions + 10)
        start = shown[key]["time"] if key < impressions else 100
        delay = chance.choice([-1, 0, 1, 50, 99, 100, 101, 250])
        clicks.append(
            {
                "click": f"c{chance.randrange(impressions)}",
                "impression": f"i{key}",
                "time": start + delay,
            }
        )
        del number
    conversions = []
    for number in range(impressions // 2):
        click = chance.choice(clicks)
        conversions.append(
            {
                "conversion": f"v{chance.randrange(impressions // 2)}",
                "click": click["click"] if chance.random() < 0.9 else f"none{number}",
                "time": click["time"] + chance.choice([-60, -1, 0, 1, 200, 300, 400]),
            }
        )
    for log in (shown, clicks, conversions):
        chance.shuffle(log)
    return shown, clicks, conversions


def bytes_of(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file in a folder, by its path inside."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
