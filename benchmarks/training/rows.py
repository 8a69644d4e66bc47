"""Writes the rows that all systems train on: as an example set, and as NumPy arrays.

The number of distinct table rows in a batch must not depend on the size of the tables,
or a larger table would cost more for another reason than its size. So ranks are drawn
once, by Zipf's law over the tables of one million rows, and rank r of a larger table of
n rows is its row r * p mod n, p a large prime: different ranks have different rows,
spread over the whole table.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.training import shape
from configs import Job, parse_job
from configs.contract import data_contract, fingerprint
from configs.layout import layout_of
from preprocessing.example_bytes import serialize_examples
from preprocessing.tfrecord import write_records

__all__ = ["distinct_rows", "example_job", "job_text", "write_rows"]

EXPONENT = 0.7
"""Of Zipf's law; gives 39,500 distinct rows in a batch of 4,096 times 26 values."""
SHARDS = 8
LINKS = 24
"""Times that each shard stands in the example set: an epoch, whose end is not part of a
step, must not end within a run."""
_PRIME = 2_147_483_647


def example_job(folder: Path, total: int, *overrides: str) -> Job:
    """Returns our job for tables of `total` rows, with its artifacts in `folder`."""
    return parse_job(job_text(folder, total), overrides)


def job_text(folder: Path, total: int) -> str:
    """Returns the same as the text of a job file."""
    categorical, numeric = shape.names()
    features: dict[str, Any] = {
        name: {"kind": "categorical", "type": "int64", "embedding": {"buckets": rows}}
        for name, rows in zip(categorical, shape.table_sizes(total), strict=True)
    }
    features |= {name: {"kind": "numeric"} for name in numeric}
    text = Path(__file__).with_name("job.yaml").read_text("utf-8")
    text = text.replace("{FEATURES}", json.dumps(features))
    return text.replace("FOLDER", str(folder))


def write_rows(folder: Path, total: int, *, batches: int) -> None:
    """Writes `batches` batches for tables of `total` rows, unless they are there."""
    target = folder / "rows.npz"
    if (folder / "examples" / "manifest.json").exists() and target.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rows = batches * shape.BATCH
    generator = np.random.default_rng(20261121)
    ids = _ids(generator, rows, total)
    numbers = generator.standard_normal((rows, shape.NUMERIC), np.float32)
    # A label that something can be learned about, so that no gradient dies out.
    logits = -1.3 + numbers[:, 0] + 0.5 * np.sin(ids[:, 10]) + 0.5 * np.cos(ids[:, 5])
    clicks = generator.random(rows) < 1.0 / (1.0 + np.exp(-logits))
    labels = clicks.astype(np.float32)
    _write_examples(folder, total, ids, numbers, labels)
    categorical, numeric = shape.names()
    columns = {name: ids[:, k].astype(np.int32) for k, name in enumerate(categorical)}
    columns |= {name: numbers[:, k] for k, name in enumerate(numeric)}
    partial = folder / "partial.npz"
    np.savez(partial, label=labels, **columns)  # type: ignore[arg-type]
    os.replace(partial, target)


def distinct_rows(folder: Path) -> float:
    """Returns the mean number of distinct table rows in a batch."""
    arrays = np.load(folder / "rows.npz")
    total = 0
    for name in shape.names()[0]:
        by_batch = arrays[name].reshape(-1, shape.BATCH)[:8]
        total += sum(len(np.unique(batch)) for batch in by_batch)
    return total / 8


def _ids(
    generator: np.random.Generator, rows: int, total: int
) -> npt.NDArray[np.int64]:
    columns = []
    ranks_of = shape.table_sizes(1_000_000)
    for ranks, size in zip(ranks_of, shape.table_sizes(total), strict=True):
        shares = np.cumsum(np.arange(1, ranks + 1, dtype=np.float64) ** -EXPONENT)
        drawn = np.searchsorted(shares / shares[-1], generator.random(rows))
        columns.append(np.minimum(drawn, ranks - 1) * _PRIME % size)
    return np.stack(columns, axis=1)


def _write_examples(
    folder: Path,
    total: int,
    ids: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float32],
    labels: npt.NDArray[np.float32],
) -> None:
    job = example_job(folder, total)
    examples = folder / "examples"
    shards = []
    for number, places in enumerate(np.array_split(np.arange(len(ids)), SHARDS)):
        path = f"train/{number:05d}.tfrecord"
        block = _table(job, ids[places], numbers[places], labels[places], places)
        shard = write_records(
            examples, path, [serialize_examples(block)], compress=False
        )
        shards.append(shard.model_dump())
    links = []
    for copy in range(1, LINKS):
        for shard in shards:
            path = shard["path"].replace("train/", f"train/copy{copy:02d}-")
            (examples / path).unlink(missing_ok=True)
            os.link(examples / shard["path"], examples / path)
            links.append({**shard, "path": path})
    _write_manifest(examples, job, [*shards, *links], float(labels.mean()))


def _table(
    job: Job,
    ids: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.float32],
    labels: npt.NDArray[np.float32],
    places: npt.NDArray[np.int64],
) -> pa.Table:
    layout = layout_of(job)
    count = len(places)
    categorical, numeric = shape.names()
    order = [categorical.index(name) for name in layout.categorical]
    number_order = [numeric.index(name) for name in layout.numeric]
    columns: dict[str, npt.NDArray[Any]] = {
        "labels": np.repeat(labels[:, np.newaxis], len(layout.labels), axis=1),
        "truth": np.full((count, len(layout.labels)), np.nan, np.float32),
        "ids": np.repeat(places[:, np.newaxis], len(layout.ids), axis=1),
        "event_time": places,
        "event_kind": np.zeros(count, np.int64),
        "negative_keep_rate": np.ones(count, np.float32),
        "categorical": ids[:, order],
        "numeric": numbers[:, number_order],
    }
    return pa.table({key: _column(values) for key, values in columns.items()})


def _column(values: npt.NDArray[Any]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _write_manifest(
    examples: Path, job: Job, shards: list[dict[str, Any]], positive: float
) -> None:
    rows = sum(shard["rows"] for shard in shards)
    contract = data_contract(job)
    split = {
        "rows": rows,
        "positives": {"click": round(positive * rows)},
        "first_time": 0,
        "last_time": rows,
        "sampled": False,
        "shards": shards,
    }
    manifest = {
        "job": job.name,
        "fingerprint": fingerprint(contract),
        "contract": contract,
        "splits": {"train": split},
        "counters": {},
        "dead_letters": {},
    }
    one = {
        "weight": rows,
        "missing_weight": 0,
        "mean": 0.0,
        "stddev": 1.0,
        "log1p_mean": 0.0,
        "log1p_stddev": 1.0,
        "minimum": -6.0,
        "maximum": 6.0,
    }
    numeric = dict.fromkeys(shape.names()[1], one)
    (examples / "statistics.json").write_text(json.dumps({"numeric": numeric}))
    (examples / "manifest.json").write_text(json.dumps(manifest))
