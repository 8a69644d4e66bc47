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
