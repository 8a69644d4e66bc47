"""From daily logs to a served model: built histories, days read as one, the export
proved on golden rows that bring their histories like requests."""

import json
import shutil
from pathlib import Path

import pytest

from configs import DataError, Job
from preprocessing.check import check_examples
from preprocessing.cli import main
from preprocessing.run import preprocess
from serving.export import export_model
from serving.predict import predict_file
from tests.preprocessing.test_daily import DAYS, daily_job, write_daily_logs
from trainer.evaluate import evaluate
from trainer.inputs.example_set import open_manifest
from trainer.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("days")
    write_daily_logs(folder, 13)
    job = daily_job(
        folder,
        "preprocessing.split={by: hash, validation: 0.2, test: 0.2}",
        "preprocessing.golden_rows=10",
        "model.backbone={name: din, attention_hidden: [4], hidden: [4]}",
        "features.item.group=item",
        "training={batch_size: 32, epochs: 1}",
    )
    for day in DAYS[:4]:
        preprocess(job, day=day)
    return job


@pytest.mark.usefixtures("verified_here")
def test_days_are_trained_on_and_exported(job: Job, tmp_path: Path) -> None:
    train(job)
    manifest = open_manifest(job.data.examples)
    report = evaluate(job, split="test", checkpoint="last")
    assert report["rows"] == manifest.splits["test"].rows > 5
    day = f"{job.data.examples}/{DAYS[2]}"
    one = evaluate(job, examples=day, split="test", checkpoint="last")
    assert 0 < one["rows"] < report["rows"]
    exported = export_model(job)
    golden = [path for path in Path(job.data.examples).glob("*/golden/rows.jsonl")]
    last = sorted(golden)[-1]
    assert exported.report["golden"]["rows"] == len(last.read_text().splitlines()) > 0
    predict_file(exported.folder, last, tmp_path / "scores.jsonl")
    rows = [json.loads(line) for line in last.read_text().splitlines()]
    assert any(row["history_item"] for row in rows)


def test_a_folder_of_days_is_checked(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", job.data.examples]) == 0
    assert capsys.readouterr().out.count("is whole") == 4
    copy = tmp_path / "day"
    shutil.copytree(f"{job.data.examples}/{DAYS[1]}", copy)
    path = next((copy / "carry_over/events").rglob("*.arrow"))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match="was changed: the carry-over is damaged"):
        check_examples(copy)
