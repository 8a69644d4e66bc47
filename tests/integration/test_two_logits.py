"""JRC inside sessions, from logs to a served probability."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs import DataError
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
    "ids.session=session",
    "preprocessing.split={by: hash, key: session, validation: 0.2, test: 0.2}",
    "preprocessing.sampling.negative_keep_rate=0.5",
    "preprocessing.golden_rows=20",
    "features.price.transform=standardize",
    "model.tasks={click: {head: two_logits,"
    " losses: [{name: jrc, alpha: 0.6, context: session}]}}",
    "training={batch_size: 32, epochs: 2}",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jrc")
    shown, clicks, conversions = random_logs(3, impressions=400)
    for record in shown:
        record["session"] = f"s{int(record['request'].removeprefix('r')) % 40}"
    write_logs(folder, (shown, clicks, conversions))
    return folder


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    job = small_job(folder, *OVERRIDES)
    assert (
        job.warnings()
        == [
            "labels.conversion: rows are dropped by 'click' alone, positives of"
            " 'conversion' among them"
        ]
        or not job.warnings()
    )
    preprocess(job)
    train(job)
    return job


def test_training_logs_how_many_sessions_hold_pairs(job: Job) -> None:
    lines = (Path(job.data.run) / "metrics.jsonl").read_text().splitlines()
    shares = [
        line["click/contexts_with_pairs"]
        for line in map(json.loads, lines)
        if line["kind"] == "train"
    ]
    assert shares and all(0.2 < share <= 1.0 for share in shares)
    report = evaluate(job, checkpoint="last")
    assert 0.0 < report["tasks"]["click"]["log_loss"] < 2.0


@pytest.mark.usefixtures("verified_here")
def test_the_export_serves_one_probability(job: Job, tmp_path: Path) -> None:
    exported = export_model(job)
    assert exported.report["golden"]["rows"] == 20
    golden = Path(job.data.examples) / "golden"
    predict_file(exported.folder, golden / "rows.jsonl", tmp_path / "scores.jsonl")
    scores = map(json.loads, (tmp_path / "scores.jsonl").read_text().splitlines())
    records = tf.data.TFRecordDataset(str(golden / "examples.tfrecord"))
    batch = parse_examples(
        tf.constant(list(records.as_numpy_iterator())), layout_of(job)
    )
    _, model = load_inference_model(job.data.run)
    outputs = model.outputs(model.hidden(model.embed(batch)))["click"].numpy()
    assert outputs.shape == (20, 2) and not np.allclose(outputs[:, 0], -outputs[:, 1])
    softmax = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    found = [score["click"] for score in scores]
    np.testing.assert_allclose(found, softmax[:, 1], rtol=1e-5)


def test_scattered_sessions_are_refused(job: Job, folder: Path) -> None:
    requests = small_job(
        folder,
        *OVERRIDES,
        f"data.examples={folder}/by-request",
        "model.tasks={click: {losses: [{name: bce}]}}",
    )
    preprocess(requests)
    job = small_job(
        folder,
        *OVERRIDES,
        f"data.examples={folder}/by-request",
        f"data.run={folder}/refused",
    )
    with pytest.raises(DataError) as caught:
        train(job)
    for words in (
        "compare rows inside a session",
        "the rows of a request are side by side",
        "run preprocessing again",
        "preprocessing.adjacent: session",
    ):
        assert words in str(caught.value)
    assert not (folder / "refused").exists()


def test_a_manifest_that_does_not_know_is_refused_for_contexts_alone(
    job: Job, folder: Path
) -> None:
    path = Path(job.data.examples) / "manifest.json"
    whole = path.read_text()
    values = json.loads(whole)
    del values["adjacent"]
    path.write_text(json.dumps(values))
    try:
        other = small_job(folder, *OVERRIDES, f"data.run={folder}/old")
        with pytest.raises(DataError, match="nothing is known of it"):
            train(other)
        click = "{head: two_logits, losses: [{name: jrc}]}"
        train(
            small_job(
                folder,
                *OVERRIDES,
                f"data.run={folder}/old",
                f"model.tasks={{click: {click}}}",
                "training.max_steps=1",
            )
        )
    finally:
        path.write_text(whole)
