"""Training and evaluation as a user sees them."""

import json
import math
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs import CheckpointError, DataError, JobError, TrainingError, dump_job
from tests.trainer.example_sets import (
    random_rows,
    small_example_set,
    small_job,
    write_example_set,
)
from trainer.checkpoint import Best, Checkpoints, State, read_state
from trainer.cli import main
from trainer.evaluate import evaluate
from trainer.inputs.files import ExampleFiles
from trainer.run import Run, load_inference_model
from trainer.selection import after_evaluation, should_stop
from trainer.train import train

QUICK = ("training.deterministic=false", "training.batch_size=32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def job(folder):
    job = small_job(folder, *QUICK, "training.epochs=2", "training.evaluate_every=4")
    small_example_set(job)
    (folder / "job.yaml").write_text(dump_job(job))
    return job


class Watcher(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")
        self.model.optimizer.learning_rate = 0.001 / (epoch + 1)

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self.logs = dict(logs)
        self.calls.append(f"end {epoch}")


@pytest.fixture(scope="module")
def trained(job):
    watcher = Watcher()
    return train(job, callbacks=[watcher]), watcher


def test_the_run_folder(job, trained, folder):
    result, _ = trained
    assert result.state.step == 10
    assert result.state.epoch == 2
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {
        "job.yaml",
        "contract.json",
        "statistics.json",
        "vocabularies",
        "checkpoints",
        "metrics.jsonl",
        "tensorboard",
    }
    assert Run(job.data.run).job() == job
    steps = Checkpoints(folder / "run/checkpoints").steps()
    assert steps[-1] == 10 and result.state.best.step in steps
    assert len(steps) <= 3


def test_keras_callbacks_are_driven_and_set_the_learning_rate(trained, folder):
    _, watcher = trained
    batches = [f"batch {k}" for k in range(5)]
    assert watcher.calls == [
        *("epoch 0", *batches, "end 0"),
        *("epoch 1", *batches, "end 1"),
    ]
    assert {"loss", "click/bce", "val_click_auc"} <= watcher.logs.keys()
    reader = tf.train.load_checkpoint(
        str(folder / "run/checkpoints/00000010/variables")
    )
    assert reader.get_tensor("optimizer/dense/learning_rate") == np.float32(0.0005)


def test_metrics_are_written_as_json_lines(trained, folder):
    lines = (folder / "run/metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    assert [x["step"] for x in lines if x["kind"] == "validation"] == [4, 5, 8, 10]
    assert [x["step"] for x in lines if x["kind"] == "train"] == [5, 10]
    assert all(0 < x["loss"] < 2 for x in lines if x["kind"] == "train")
    assert list((folder / "run/tensorboard").glob("events*"))


def test_evaluation_equals_arithmetic_on_the_restored_model(job, trained, tmp_path):
    report = evaluate(job, checkpoint="best", output=tmp_path / "deep/e.json")
    assert json.loads((tmp_path / "deep/e.json").read_text()) == report
    restored_job, model = load_inference_model(job.data.run)
    assert restored_job == job
    source = ExampleFiles(job.data.examples, "test", job, batch_size=60)
    ((batch,),) = list(source.batches())
    logits = model(batch)["click"].numpy().astype(float)
    labels = batch["labels"].numpy()[:, 0]
    p = 1 / (1 + np.exp(-logits))
    loss = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    task = report["tasks"]["click"]
    assert task["log_loss"] == pytest.approx(loss, rel=1e-6)
    assert task["calibration"] == pytest.approx(p.mean() / labels.mean(), rel=1e-6)
    truth = batch["truth"].numpy()[:, 0].astype(float)
    best = -np.mean(labels * np.log(truth) + (1 - labels) * np.log(1 - truth))
    assert task["truth"]["log_loss"] == pytest.approx(best, rel=1e-6)
    assert task["distance"]["log_loss"] == pytest.approx(loss - best, rel=1e-5)


def test_the_last_evaluation_and_evaluate_agree(job, trained):
    result, _ = trained
    report = evaluate(job, split="validation", checkpoint="last")
    expected = result.state.validation["click"]
    for name in ("auc", "gauc", "log_loss", "calibration"):
        assert report["tasks"]["click"][name] == pytest.approx(expected[name], abs=1e-6)


def test_commands_print_tables_and_one_line_errors(job, trained, folder, capsys):
    path = str(folder / "job.yaml")
    assert main(["evaluate", path, "--split", "test"]) == 0
    printed = capsys.readouterr().out
    for text in ("click, 60 rows", "best reachable", "weighted by the user's"):
        assert text in printed
    assert main(["train", path]) == 2
    errors = capsys.readouterr().err
    assert "exists already: say --resume" in errors and "Traceback" not in errors
    assert main(["evaluate", path, "--split", "nope"]) == 2
    assert "'nope'" in capsys.readouterr().err
    assert main(["evaluate", path, "--checkpoint", "77"]) == 2
    assert "there are those of" in capsys.readouterr().err


def test_metrics_that_cannot_be_written_give_one_message(job, trained, folder):
    for place in (folder, folder / "job.yaml" / "metrics.json"):
        with pytest.raises(DataError, match="cannot be written to"):
            evaluate(job, output=place)


def test_a_finished_run_resumes_to_nothing_and_to_more_epochs(job, trained, folder):
    shutil.copytree(job.data.run, folder / "more")
    more = small_job(folder, *QUICK, "training.epochs=2", f"data.run={folder / 'more'}")
    assert train(more, resume=True).state.step == 10
    more = small_job(folder, *QUICK, "training.epochs=3", f"data.run={folder / 'more'}")
    assert train(more, resume=True).state.step == 15


def test_a_learning_rate_changed_on_resume_keeps_the_factor_of_callbacks(
    job, trained, folder
):
    shutil.copytree(job.data.run, folder / "slower")
    slower = small_job(
        folder,
        *QUICK,
        "training.epochs=3",
        "training.optimizer.dense.learning_rate=0.0001",
        f"data.run={folder / 'slower'}",
    )
    train(slower, resume=True)
    last = Checkpoints(folder / "slower/checkpoints").find("last")
    reader = tf.train.load_checkpoint(str(last / "variables"))
    # The callback had halved the rate of the job.
    rate = reader.get_tensor("optimizer/dense/learning_rate")
    assert rate == pytest.approx(0.0001 / 2, rel=1e-6)
    assert read_state(last).learning_rate == 0.0001


def test_a_best_checkpoint_that_is_gone_is_forgotten(job, trained, folder):
    shutil.copytree(job.data.run, folder / "gone")
    checkpoints = Checkpoints(folder / "gone/checkpoints")
    last = checkpoints.find("last")
    state = read_state(last)
    # As after removing the last one, when it had been the best.
    lost = state.model_copy(update={"best": Best(step=3, value=0.0)})
    (last / "state.json").write_text(lost.model_dump_json())
    more = small_job(folder, *QUICK, "training.epochs=3", f"data.run={folder / 'gone'}")
    assert train(more, resume=True).state.best.step == 15
    assert checkpoints.find("best").name == "00000015"


def test_a_checkpoint_put_aside_by_a_killed_process_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / ".00000007.retired-1").mkdir()
    (tmp_path / ".00000007.partial-1").mkdir()
    (tmp_path / "00000009").mkdir()
    (tmp_path / ".00000009.retired-1").mkdir()
    checkpoints.sweep()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000007", "00000009"]


def test_another_model_is_refused_by_name(job, trained, folder):
    other = small_job(folder, *QUICK, "model.backbone.hidden=[9]")
    with pytest.raises(CheckpointError, match=r"model\.backbone\.hidden: has \[8\]"):
        train(other, resume=True)
    with pytest.raises(CheckpointError, match="hidden"):
        evaluate(other)


def test_another_example_set_is_refused_in_the_middle_of_an_epoch(tmp_path):
    job = small_job(tmp_path, *QUICK)
    small_example_set(job)

    class StopsAtThree(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    assert train(job, callbacks=[StopsAtThree()]).state.row == 96
    write_example_set(job, {"train": [random_rows(job, 150, 9)]})
    with pytest.raises(CheckpointError, match=r"row 96 of epoch 1.*example set"):
        train(job, resume=True)


def test_damaged_checkpoints_give_one_message(job, trained, folder):
    shutil.copytree(job.data.run, folder / "damaged")
    last = Checkpoints(folder / "damaged/checkpoints").find("last")
    data = next(last.glob("variables.data*"))
    content = bytearray(data.read_bytes())
    content[100] ^= 1
    data.write_bytes(content)
    with pytest.raises(CheckpointError, match="00000010"):
        load_inference_model(folder / "damaged", "last")
    (last / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"state\.json cannot be read"):
        read_state(last)
    with pytest.raises(CheckpointError, match="is not a training run"):
        load_inference_model(folder / "nothing")


def test_bad_input_leaves_an_existing_run_alone(job, trained, folder):
    before = sorted(p.name for p in (folder / "run/checkpoints").iterdir())
    lost = small_job(folder, *QUICK, f"data.examples={folder / 'lost'}")
    with pytest.raises(DataError, match="not an example set"):
        train(lost, overwrite=True)
    assert sorted(p.name for p in (folder / "run/checkpoints").iterdir()) == before


def test_a_model_that_cannot_be_built_leaves_an_existing_run_alone(
    job, trained, folder
):
    before = sorted(p.name for p in (folder / "run/checkpoints").iterdir())
    alone = "features.history.fields.item={embedding: {buckets: 7}}"
    job = small_job(folder, *QUICK, alone, "model.backbone={name: din}")
    with pytest.raises(JobError, match="din attends to the item"):
        train(job, overwrite=True)
    assert sorted(p.name for p in (folder / "run/checkpoints").iterdir()) == before


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_kind_are_refused(tmp_path, label):
    job = small_job(tmp_path, *QUICK)
    rows = random_rows(job, 64, 1)
    for row in rows:
        row["labels"] = np.array([label])
    write_example_set(job, {"train": [rows], "validation": [rows[:20]]})
    with pytest.raises(DataError, match=f"'click' is {label:.0f} in all training rows"):
        train(job)
    assert not (tmp_path / "run").exists()


def test_a_validation_split_of_one_kind_has_no_auc(tmp_path):
    job = small_job(tmp_path, *QUICK)
    rows = random_rows(job, 64, 1)
    negatives = [row for row in rows if row["labels"][0] == 0.0]
    write_example_set(job, {"train": [rows], "validation": [negatives]})
    result = train(job)
    assert result.state.validation["click"]["auc"] is None
    assert result.state.best is not None


def test_losses_that_are_never_finite_end_training(tmp_path):
    job = small_job(tmp_path, *QUICK, "training.batch_size=4")
    rows = random_rows(job, 80, 1)
    for row in rows:
        row["dense"] = np.array([math.inf, 0.0])
    write_example_set(job, {"train": [rows]})
    with pytest.raises(TrainingError, match="not finite in the last 20 steps"):
        train(job)


def test_a_split_that_was_sampled_weighs_by_one_over_r(tmp_path):
    job = small_job(
        tmp_path,
        *QUICK,
        "preprocessing.sampling={negative_keep_rate: 0.25}",
    )
    rows = random_rows(job, 200, 4)
    kept = [r for k, r in enumerate(rows) if r["labels"][0] == 1 or k % 4 == 0]
    for row in kept:
        row["negative_keep_rate"] = np.array([0.25])
    write_example_set(job, {"train": [kept]}, sampled=True)
    train(job)
    positives = sum(r["labels"][0] for r in kept)
    negatives = 4.0 * (len(kept) - positives)
    task = evaluate(job, split="train", checkpoint="last")["tasks"]["click"]
    assert task["observed_rate"] == pytest.approx(positives / (positives + negatives))


def test_gauc_needs_users(tmp_path):
    job = small_job(tmp_path, "training.select_by=gauc", "ids.user=null")
    with pytest.raises(JobError, match=r"training\.select_by is 'gauc'.*ids\.user"):
        train(job)


def test_early_stopping_counts_evaluations_without_improvement(tmp_path):
    job = small_job(
        tmp_path, "training.early_stopping={metric: auc, patience: 2, min_delta: 0.01}"
    )
    state = State(model="m", examples="e", seed=0)
    seen = []
    for step, auc in enumerate([0.6, 0.605, 0.62, 0.61, None], start=1):
        state = state.model_copy(update={"step": step})
        metrics = {"auc": auc, "log_loss": 1.0 / step, "gauc": None}
        state = after_evaluation(state, job, metrics)
        seen.append((state.without_improvement, should_stop(state, job)))
    assert seen == [(0, False), (1, False), (0, False), (1, False), (2, True)]
    assert state.best.step == 5 and state.stopping_best == 0.62


def test_a_last_evaluation_is_in_the_checkpoint_of_its_step(tmp_path):
    job = small_job(
        tmp_path, *QUICK, "training.max_steps=3", "training.checkpoint_every=3"
    )
    small_example_set(job)
    state = train(job).state
    assert (state.evaluated, state.best.step) == (3, 3)
    assert read_state(Checkpoints(tmp_path / "run/checkpoints").find()) == state


def test_max_steps_ends_with_an_evaluation_and_a_checkpoint(tmp_path):
    job = small_job(tmp_path, *QUICK, "training.max_steps=3", "training.epochs=9")
    small_example_set(job)
    state = train(job).state
    assert (state.step, state.evaluated, state.row) == (3, 3, 96)
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["train", "validation"]
    assert Checkpoints(tmp_path / "run/checkpoints").find("best").name == "00000003"


def test_overwrite_replaces_no_folder_that_is_not_a_run(tmp_path):
    job = small_job(tmp_path, *QUICK)
    small_example_set(job)
    run = tmp_path / "run"
    precious = job.model_copy(
        update={"data": job.data.model_copy(update={"run": str(run)})}
    )
    run.mkdir()
    (run / "logs.jsonl").write_text("{}")
    with pytest.raises(DataError, match="run"):
        train(precious, overwrite=True)
    assert (run / "logs.jsonl").exists()
