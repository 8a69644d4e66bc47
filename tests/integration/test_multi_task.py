"""MMoE with a conversion over the entire space, from logs to served probabilities."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.job import Job
from configs.layout import layout_of
from preprocessing.run import preprocess
from serving.export import export_model
from serving.predict import predict_file
from tests.preprocessing.making_jobs import random_logs, small_job, write_logs
from trainer.evaluate import evaluate
from trainer.inputs.examples import parse_examples
from trainer.multi_task.registry import MULTI_TASK
from trainer.run import load_inference_model
from trainer.train import train

OVERRIDES = (
    "labels.conversion.truth=truth",
    "preprocessing.split={by: hash, validation: 0.2, test: 0.2}",
    "preprocessing.sampling.negative_keep_rate=0.5",
    "preprocessing.golden_rows=20",
    "model.backbone={name: flat}",
    "model.multi_task={name: mmoe, experts: 3, expert: [6], tower: [5]}",
    "model.tasks={click: {losses: [{name: pwiser, conversion: conversion}]},"
    " conversion: {entire_space: click, weight: 0.5}}",
    "model.auxiliary=[{name: uim}]",
    "training={batch_size: 32, epochs: 1}",
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("multi_task")
    write_logs(folder, random_logs(3, impressions=300))
    job = small_job(folder, *OVERRIDES)
    preprocess(job)
    train(job)
    return job


def test_metrics_are_given_for_each_task_and_its_truth(job: Job) -> None:
    report = evaluate(job, checkpoint="last")["tasks"]
    assert set(report) == {"click", "conversion", "conversion_given_click"}
    assert report["conversion"]["rows"] == report["click"]["rows"]
    clicks = report["click"]["rows"] * report["click"]["observed_rate"]
    assert report["conversion_given_click"]["rows"] == pytest.approx(clicks)
    for task in report.values():
        assert 0.0 < task["log_loss"] < 3.0
    # The truth of the product is the product of the truths, here of one column twice.
    squares = [
        float(x) ** 2
        for path in Path(job.data.examples).glob("test/*")
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for x in parse_examples(tf.constant([record]), layout_of(job))["truth"][:, 0]
    ]
    rate = report["conversion"]["truth"]["predicted_rate"]
    assert rate == pytest.approx(np.mean(squares), rel=1e-5)
    assert report["conversion_given_click"]["truth"]["predicted_rate"] > rate


@pytest.mark.usefixtures("verified_here")
def test_the_export_serves_each_task_and_the_condition(
    job: Job, tmp_path: Path
) -> None:
    exported = export_model(job)
    assert exported.report["golden"]["rows"] == 20
    names = exported.report["variables"]["names"]
    assert any("multi_task/experts" in name for name in names)
    golden = Path(job.data.examples) / "golden"
    predict_file(exported.folder, golden / "rows.jsonl", tmp_path / "scores.jsonl")
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    scores = [json.loads(line) for line in lines]
    click, given, conversion = (
        np.array([score[name] for score in scores])
        for name in ("click", "conversion_given_click", "conversion")
    )
    np.testing.assert_allclose(conversion, click * given, rtol=1e-5)
    records = tf.data.TFRecordDataset(str(golden / "examples.tfrecord"))
    batch = parse_examples(
        tf.constant(list(records.as_numpy_iterator())), layout_of(job)
    )
    _, model = load_inference_model(job.data.run)
    np.testing.assert_allclose(click, tf.sigmoid(model(batch)["click"]), rtol=1e-5)


STRUCTURES = {
    "shared_bottom": (
        "{name: shared_bottom, tower: [5, 4]}",
        "towers/towers/conversion/dense/1/kernel",
    ),
    "mmoe": (
        "{name: mmoe, experts: 2, expert: [6], tower: []}",
        "experts/experts/1/dense/0/kernel",
    ),
    "cgc": (
        "{name: ple, layers: 1, expert: [6], tower: [4]}",
        "layers_of_experts/0/own/conversion",
    ),
    "ple": (
        "{name: ple, layers: 2, shared_experts: 1, expert: [6], tower: [4]}",
        "layers_of_experts/0/shared_gate",
    ),
}


def test_every_structure_is_exported_below() -> None:
    named = {text.split("name: ")[1].split(",")[0] for text, _ in STRUCTURES.values()}
    assert named == set(MULTI_TASK)


@pytest.mark.slow
@pytest.mark.usefixtures("verified_here")
@pytest.mark.parametrize("name", STRUCTURES)
def test_each_structure_is_served_as_it_was_trained(
    job: Job, tmp_path: Path, name: str
) -> None:
    structure, part = STRUCTURES[name]
    root = Path(job.data.examples).parent
    other = small_job(
        root,
        *OVERRIDES,
        f"model.multi_task={structure}",
        "model.backbone={name: dnn, hidden: [6]}",
        f"data.run={tmp_path}/run",
        f"data.models={tmp_path}/models",
        "training.max_steps=3",
    )
    train(other)
    exported = export_model(other)
    # The export compares the predictions of these rows with the trainer's.
    assert exported.report["golden"]["rows"] == 20
    assert exported.report["golden"]["largest_difference"] <= other.export.tolerance
    names = exported.report["variables"]["names"]
    assert any(f"multi_task/{part}" in variable for variable in names), names
    golden = Path(other.data.examples) / "golden"
    predict_file(exported.folder, golden / "rows.jsonl", tmp_path / "scores.jsonl")
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    scores = [list(json.loads(line).values()) for line in lines]
    assert np.shape(scores) == (20, 3)
    assert np.all(np.ptp(scores, axis=0) > 0.0)
