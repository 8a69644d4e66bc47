"""The export of a run: proved by a fresh process, published whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.errors import CheckpointError, DataError, ExportError
from configs.job import Job
from configs.loading import parse_job
from serving import export_verify
from serving.export import export_model
from serving.golden import read_golden
from serving.saved_model import load_model, warm_model
from tests.serving.models import FULL_JOB, ROWS
from tests.serving.runs import write_examples, write_run
from tests.serving.verifying import verify_here


def job_in(folder: Path, **overrides: str) -> Job:
    places = {name: f"{folder}/{name}" for name in ("examples", "run", "models")}
    changes = {**{f"data.{k}": v for k, v in places.items()}, **overrides}
    return parse_job(FULL_JOB, [f"{key}={value}" for key, value in changes.items()])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and an example set."""
    folder = tmp_path_factory.mktemp("trained")
    job = job_in(folder)
    write_run(job)
    write_examples(job, ROWS)
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path) -> Any:
    return export_model(job_in(trained))


def verified_here(job: Job, folder: Path) -> dict[str, Any]:
    return export_verify.verify(
        folder,
        run=job.data.run,
        checkpoint="best",
        examples=job.data.examples,
        tolerance=job.export.tolerance,
    )


def test_export_is_verified_and_published(trained: Path, exported: Any) -> None:
    assert exported.folder == trained / "models/1"
    assert sorted(p.name for p in (trained / "models").iterdir()) == ["1"]
    report = json.loads((exported.folder / "assets.extra/export.json").read_text())
    assert report == exported.report
    assert report["golden"]["rows"] == len(ROWS)
    assert 0 <= report["golden"]["largest_difference"] <= 1e-6
    assert report["variables"]["export"] == len(report["variables"]["names"])
    # The run has one variable of an auxiliary task, of two values.
    variables = report["variables"]
    assert variables["training"] == variables["export"] + 1
    assert variables["training_values"] == variables["export_values"] + 2
    assert "uim" not in str(variables["names"])


def test_export_holds_what_servers_need(exported: Any) -> None:
    extra = exported.folder / "assets.extra"
    names = {"job.yaml", "contract.json", "request.json", "golden.jsonl", "export.json"}
    assert names < {path.name for path in extra.iterdir()}
    golden = read_golden(exported.folder, 100)
    assert [entry.row for entry in golden] == ROWS
    model = load_model(exported.folder)
    warm_model(model)
    assert model.specification.outputs == ["click", "conversion"]


def test_variables_are_the_inference_models(trained: Path, exported: Any) -> None:
    from trainer.run import load_inference_model

    _, model = load_inference_model(str(trained / "run"))
    prefix = str(exported.folder / "variables/variables")
    saved = {
        name: shape
        for name, shape in tf.train.list_variables(prefix)
        if not name.startswith(("_CHECKPOINTABLE", "save_counter"))
    }
    assert len(saved) == len(model.weights)
    assert sorted(saved.values()) == sorted(list(w.shape) for w in model.weights)
    assert not [n for n in saved if "uim" in n or "nip" in n or "loss" in n]


def test_next_version_is_one_higher(
    trained: Path, exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify_here(monkeypatch)
    os.makedirs(trained / "models/7")  # incomplete, but the number is taken
    second = export_model(job_in(trained), checkpoint="last", without_golden_rows=True)
    assert second.folder.name == "8"
    assert second.report["golden"]["rows"] == 0
    with pytest.raises(DataError, match="exists already"):
        export_model(job_in(trained), version=1, without_golden_rows=True)


def test_difference_is_found_and_nothing_is_left(
    trained: Path, exported: Any, tmp_path: Path
) -> None:
    rows = [dict(row) for row in ROWS]
    job = job_in(trained, **{"data.examples": str(tmp_path / "examples")})
    write_examples(job, rows)
    # The raw rows say something else than the encoded ones.
    path = tmp_path / "examples/golden/rows.jsonl"
    path.write_text(path.read_text().replace('"user_id": "u2"', '"user_id": "u3"'))
    before = sorted((trained / "models").iterdir())
    with pytest.raises(ExportError, match=r"golden row 2.*feature 'user'"):
        export_model(job)
    assert sorted((trained / "models").iterdir()) == before


def test_other_predictions_are_found(
    trained: Path, exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(trained)
    original = export_verify.load_inference_model

    def changed(run: Any, checkpoint: str) -> Any:
        job, model = original(run, checkpoint)
        return job, lambda features, training: {
            task: logit + tf.constant([0, 0, 0, 1e-4, 0])
            for task, logit in model(features, training=training).items()
        }

    monkeypatch.setattr(export_verify, "load_inference_model", changed)
    monkeypatch.setattr(export_verify, "weights_by_name", lambda model: {})
    monkeypatch.setattr(export_verify, "check_variables", lambda *arguments: None)
    text = "golden row 3: the export's click is .* 1 of 5 rows differ"
    with pytest.raises(ExportError, match=text):
        verified_here(job, exported.folder)


def test_other_weights_are_found(
    trained: Path, exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = export_verify.load_inference_model

    def changed(run: Any, checkpoint: str) -> Any:
        job, model = original(run, checkpoint)
        weight = model.weights[0]
        weight.assign(np.asarray(weight) + np.float32(1e-7))
        return job, model

    monkeypatch.setattr(export_verify, "load_inference_model", changed)
    with pytest.raises(ExportError, match=r"variable .* differs"):
        verified_here(job_in(trained), exported.folder)


@pytest.mark.parametrize("damage", ["rows", "examples", "cut", "count"])
def test_damaged_golden_rows(trained: Path, tmp_path: Path, damage: str) -> None:
    job = job_in(trained, **{"data.examples": str(tmp_path / "examples")})
    write_examples(job, ROWS)
    golden = tmp_path / "examples/golden"
    if damage == "rows":
        (golden / "rows.jsonl").unlink()
    elif damage == "count":
        (golden / "rows.jsonl").write_text("")
    elif damage == "examples":
        (golden / "examples.tfrecord").unlink()
    else:
        content = (golden / "examples.tfrecord").read_bytes()
        (golden / "examples.tfrecord").write_bytes(content[:-5])
    with pytest.raises((DataError, ExportError), match="Run preprocessing again"):
        if damage in ("examples", "cut"):
            from serving.export_golden import golden_examples

            golden_examples(job.data.examples, len(ROWS))
        else:
            export_model(job)


def test_no_golden_rows_need_a_word(trained: Path, tmp_path: Path) -> None:
    job = job_in(trained, **{"data.examples": str(tmp_path / "examples")})
    write_examples(job, [])
    with pytest.raises(DataError, match="--without-golden-rows"):
        export_model(job)


def test_folder_that_cannot_be_written(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    job = job_in(trained, **{"data.models": str(tmp_path / "models")})
    with pytest.raises(ExportError, match="could not be written"):
        export_model(job)


def test_missing_inputs(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a training run"):
        export_model(job_in(trained, **{"data.run": str(tmp_path / "run")}))
    with pytest.raises(DataError, match="not an example set"):
        export_model(job_in(trained, **{"data.examples": str(tmp_path)}))


def test_other_contract(trained: Path) -> None:
    with pytest.raises(DataError, match=r"features\.history\.max_length"):
        export_model(job_in(trained, **{"features.history.max_length": "9"}))
