"""The examples of docs/own-parts.md, as a package that is no part of the project."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

from configs.contract import model_contract
from configs.errors import CheckpointError, JobError
from configs.imports import ENVIRONMENT, import_modules
from configs.job import Job
from configs.loading import dump_job, parse_job
from preprocessing.run import preprocess
from serving.export import export_model
from tests.preprocessing.making_jobs import random_logs, small_job, write_logs
from tests.trainer.model_jobs import random_batch
from trainer.evaluate import evaluate
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.registry import build_loss
from trainer.models import models
from trainer.run import load_inference_model
from trainer.train import train
from trainer.training_model import TrainingModel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own-parts.md"

OTHERS = (
    "preprocessing.split={by: hash, validation: 0.2, test: 0.2}",
    "preprocessing.sampling.negative_keep_rate=0.5",
    "preprocessing.golden_rows=10",
    "training={batch_size: 32, epochs: 1}",
)


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the package, which Python finds while these tests run."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for block in blocks("python"):
        path = folder / block.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv(ENVIRONMENT, "")
        yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def model(package: Path) -> str:
    """An override with the model of the page, its parts imported."""
    import_modules(["my_package"])
    assert os.environ[ENVIRONMENT] == "my_package"
    section = yaml.safe_load(blocks("yaml")[0])["model"] | {"embedding_dim": 4}
    return f"model={yaml.safe_dump(section, default_flow_style=True, width=10_000)}"


@pytest.fixture(scope="module")
def job(model: str, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("own_parts")
    write_logs(folder, random_logs(3, impressions=200))
    job = small_job(folder, model, *OTHERS)
    preprocess(job)
    train(job)
    return job


def test_a_job_alone_imports_nothing(package: Path, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    (package / "unnamed.py").write_text(f"open({str(marker)!r}, 'w')", "utf-8")
    for name in ("unnamed:Tower", "os:system", "unnamed:open"):
        with pytest.raises(JobError, match="A job file imports nothing by itself"):
            small_job(tmp_path, f"model.backbone={{name: '{name}'}}")
    assert not marker.exists() and "unnamed" not in sys.modules


def test_what_is_imported_but_not_registered_is_no_part(
    model: str, tmp_path: Path
) -> None:
    for name in ("my_package.towers:keras", "my_package.losses:Smoothed"):
        with pytest.raises(JobError, match="no backbone is registered as"):
            small_job(tmp_path, f"model.backbone={{name: '{name}'}}")
    nearly = "my_package.towers:GatedTowr"
    with pytest.raises(JobError, match=r"Did you mean 'my_package\.towers:GatedTower'"):
        small_job(tmp_path, f"model.backbone={{name: '{nearly}'}}")


def test_settings_are_checked_like_any_other(model: str, tmp_path: Path) -> None:
    for place, value, message in (
        ("model.backbone.unit", "3", r"backbone: unknown key 'unit'. Did you mean"),
        ("model.backbone.units", "'3'", r"backbone.units: .* valid integer, got '3'"),
        ("model.tasks.click.losses.0.smoothing", "1.5", r"losses.0.smoothing: .*1.5"),
        ("model.auxiliary.0.group", "page", r"auxiliary.0.group: .*'page'"),
    ):
        with pytest.raises(JobError, match=message):
            small_job(tmp_path, model, f"{place}={value}")
    entropies = "[{name: bce}, {name: 'my_package.losses:Smoothed'}]"
    with pytest.raises(JobError, match="each contain a binary cross-entropy"):
        small_job(tmp_path, model, f"model.tasks.click.losses={entropies}")


def test_they_are_in_the_resolved_job_and_the_contract(
    model: str, tmp_path: Path
) -> None:
    job = small_job(tmp_path, model)
    assert parse_job(dump_job(job)) == job
    found = model_contract(job)["model"]
    assert found["backbone"] == {
        "name": "my_package.towers:GatedTower",
        "units": 32,
        "depth": 2,
    }
    assert found["tasks"]["click"]["losses"][0]["smoothing"] == 0.1
    assert found["auxiliary"][0]["group"] == "item"


def test_they_are_listed(model: str) -> None:
    listed = models()
    sentence = listed["model.backbone"]["my_package.towers:GatedTower"]
    assert sentence.startswith("Layers that let a part of each unit through")
    assert "my_package.losses:Smoothed" in listed["model.tasks.TASK.losses"]
    assert "my_package.auxiliary:SmallEmbeddings" in listed["model.auxiliary"]


def test_losses_and_gradients_are_those_of_the_parts(job: Job) -> None:
    _, inference = load_inference_model(job.data.run, "last")
    training, batch = TrainingModel(inference, job), random_batch(job, 24)
    with tf.GradientTape() as tape:
        values = training.compute_losses(batch)
    gradients = tape.gradient(
        values["loss"], [v.value for v in training.trainable_variables]
    )
    assert all(gradient is not None for gradient in gradients)
    loss = build_loss(job.model.tasks["click"].losses[0])
    z, y = inference(batch)["click"], batch["labels"][:, 0]
    expected = BinaryCrossEntropy().per_example(z, 0.9 * y + 0.05)
    np.testing.assert_allclose(loss.per_example(z, y), expected, rtol=1e-5)
    vectors = inference.embed(batch).embeddings["item"]
    small = values["auxiliary/my_package.auxiliary:SmallEmbeddings"]
    assert float(small) == pytest.approx(np.sum(np.square(vectors)) / 24, rel=1e-5)


@pytest.mark.usefixtures("verified_here")
def test_a_run_is_evaluated_exported_and_resumed(job: Job) -> None:
    report = evaluate(job, checkpoint="last")["tasks"]
    assert 0.0 < report["click"]["log_loss"] < 3.0
    exported = export_model(job)
    assert exported.report["golden"]["rows"] == 10
    names = exported.report["variables"]["names"]
    assert "backbone/gates/1/kernel" in names
    assert not [name for name in names if "auxiliary" in name]
    other = job.model.model_copy(
        update={"backbone": job.model.backbone.model_copy(update={"units": 31})}
    )
    with pytest.raises(CheckpointError, match="units"):
        train(job.model_copy(update={"model": other}), resume=True)


def command(package: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {k: v for k, v in os.environ.items() if k != ENVIRONMENT}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=PAGE.parents[1],
        env={**environment, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_command_without_the_import_says_how_to_mend_it(
    job: Job, package: Path, tmp_path: Path
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job), encoding="utf-8")
    ended = command(package, "trainer", "train", str(path))
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and "Traceback" not in ended.stderr
    assert "--import my_package.towers" in ended.stderr
    ended = command(package, "trainer", "models", "--import", "my_pakage")
    assert ended.returncode == 2
    assert "there is no module 'my_pakage'" in ended.stderr


@pytest.mark.slow
def test_the_commands_of_the_page(job: Job, package: Path, tmp_path: Path) -> None:
    """Export starts a process of its own, which has to import the same."""
    path = tmp_path / "job.yaml"
    text = dump_job(job).replace(job.data.run, f"{tmp_path}/run")
    path.write_text(text.replace(job.data.models, f"{tmp_path}/models"), "utf-8")
    lines = blocks("sh")[0].replace("job.yaml", str(path)).splitlines()
    assert len(lines) == 3
    for line in lines:
        ended = command(package, *line.split()[2:])
        assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "models/1/saved_model.pb").is_file()
