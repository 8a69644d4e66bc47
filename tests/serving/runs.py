"""Runs and example sets for tests of export: small, but whole.

The encoding here is written out by hand, with the protobuf library and Python's own
loops; only the hash is TensorFlow's.
"""

import json
import math
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.contract import data_contract, fingerprint
from configs.job import Job
from configs.loading import dump_job
from configs.manifest import Manifest
from tests.serving.models import inference_model, statistics_of

FLOAT_NAN = float("nan")


def write_run(job: Job) -> None:
    """Writes a run with one checkpoint of fresh weights at `job.data.run`."""
    from trainer.checkpoint import State
    from trainer.run import INFERENCE_PREFIX, Run
    from trainer.variables import named_variables

    run = Run.create(job, statistics=statistics_of(job), vocabularies={})
    model = inference_model(job)
    weights = {INFERENCE_PREFIX + n: v for n, v in named_variables(model).items()}
    training_only = {"training/auxiliary/uim/kernel": tf.Variable([1.0, 2.0])}
    state = State(step=1, model="", examples="", seed=0)
    run.checkpoints.write(state, {**weights, **training_only})


def write_examples(job: Job, rows: list[dict[str, Any]]) -> None:
    """Writes an example set that holds nothing but golden rows."""
    folder = Path(job.data.examples)
    (folder / "golden").mkdir(parents=True)
    logged = [{**row, "impression_id": f"i{n}"} for n, row in enumerate(rows)]
    (folder / "golden/rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in logged), encoding="utf-8"
    )
    with tf.io.TFRecordWriter(str(folder / "golden/examples.tfrecord")) as writer:
        for row in rows:
            writer.write(example(row))
    contract = data_contract(job)
    manifest = Manifest(
        job=job.name,
        fingerprint=fingerprint(contract),
        contract=contract,
        splits={},
        counters={},
        dead_letters={},
        golden_rows=len(rows),
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    (folder / "job.yaml").write_text(dump_job(job), encoding="utf-8")


def example(row: dict[str, Any]) -> bytes:
    """Encodes a row of the full job (tests.serving.models.FULL_JOB)."""
    pairs = [
        (item, day)
        for item, day in zip(
            row["history_item"] or [], row["history_days"] or [], strict=True
        )
        if item not in (None, "")
    ][-4:]
    tags = [tag for tag in row["tags"] or [] if tag][:3]
    integers = {
        "categorical": [hashed(row["user_id"]), hashed(row["item_id"])],
        "multi_valued/tags": [hashed(tag) for tag in tags],
        "sequence/history/item": [hashed(item) for item, _ in pairs],
        "event_time": [0],
        "event_kind": [0],
        "ids": [1, 2],
    }
    floats = {
        "numeric": [number(row["age"]), number(row["price"])],
        "dense": row["look"] or [0.0, 0.0, 0.0],
        "sequence/history/days": [number(day) for _, day in pairs],
        "labels": [0.0, 0.0],
        "truth": [FLOAT_NAN, FLOAT_NAN],
        "negative_keep_rate": [1.0],
    }
    message = tf.train.Example()
    for key, values in integers.items():
        message.features.feature[key].int64_list.value.extend(values)
    for key, reals in floats.items():
        message.features.feature[key].float_list.value.extend(reals)
    return bytes(message.SerializeToString())


def hashed(value: Any) -> int:
    text = "" if value is None else str(value)
    return int(tf.strings.to_hash_bucket_fast(text, 2**63 - 1))


def number(value: Any) -> float:
    return math.nan if value is None else float(value)
