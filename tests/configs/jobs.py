"""A complete job, for tests to change one thing of."""

from typing import Any

import yaml

from configs import Job, parse_job

__all__ = ["job_of", "values"]

_TEXT = """
name: shop
data:
  impressions: logs/impressions*.jsonl
  events:
    click: {path: logs/clicks.csv, event: click_id, key: impression_id, time: at}
    purchase:
      path: logs/purchases.parquet
      event: order_id
      key: click_id
      time: {column: at, unit: s}
      joins: click
  examples: out/examples
  run: out/run
  models: out/models
features:
  user: {kind: categorical, group: user, type: int64, embedding: {buckets: 1000}}
  item:
    {kind: categorical, group: item, embedding: {dim: 4, vocabulary: {min_count: 2}}}
  twin: {kind: categorical, group: item, shares: item}
  tags: {kind: multi_valued, group: item, embedding: {buckets: 50}}
  price: {kind: numeric, group: item, transform: log1p, missing: indicator}
  hour: {kind: numeric, bucketize: {boundaries: [6, 12, 18]}}
  picture: {kind: dense, group: item, length: 3}
  history:
    kind: sequence
    max_length: 5
    fields:
      item: {shares: item}
      age: {kind: numeric, transform: log1p}
ids: {event: impression_id, user: user, item: item, request: request_id, time: shown_at}
labels:
  click: {window: 30m}
  purchase: {after: click, window: 7d}
preprocessing:
  sampling: {negative_keep_rate: 0.1}
model:
  backbone: {name: din}
  embedding_dim: 8
  tasks:
    click: {losses: [{name: combined_pair}]}
    purchase: {given: click}
  auxiliary: [{name: uim}, {name: nip}]
"""


def values() -> dict[str, Any]:
    """Returns the job's values, to be changed at will."""
    loaded: dict[str, Any] = yaml.safe_load(_TEXT)
    return loaded


def job_of(changes: dict[str, Any] | None = None) -> Job:
    """Returns the job with the value at each dotted place replaced, or removed where
    it is the ellipsis."""
    result = values()
    for place, value in (changes or {}).items():
        *parents, last = place.split(".")
        target: Any = result
        for key in parents:
            step = int(key) if isinstance(target, list) else key
            target = (
                target[step] if isinstance(step, int) else target.setdefault(step, {})
            )
        if value is ...:
            del target[last]
        else:
            target[int(last) if isinstance(target, list) else last] = value
    return parse_job(yaml.safe_dump(result, sort_keys=False))
