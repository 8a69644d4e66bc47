"""The losses of a batch: corrections, masks, weights, shares of replicas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.job import Job
from tests.oracles import losses as oracle
from tests.trainer.model_jobs import (
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.inference import build_inference_model
from trainer.training_model import TrainingModel

SAMPLING = "preprocessing.sampling.negative_keep_rate=0.1"
TWO_TASKS = "model.tasks={click: {weight: 2.0}, conversion: {given: click}}"


def built(job: Job) -> TrainingModel:
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    return TrainingModel(inference, job)


def sampled_batch(job: Job, rows: int = 20) -> dict[str, tf.Tensor]:
    random = np.random.default_rng(1)
    rates = random.choice(np.array([0.1, 0.5, 1.0], np.float32), rows)
    return {**random_batch(job, rows), "negative_keep_rate": tf.constant(rates)}


def parts(model: TrainingModel, batch: dict[str, tf.Tensor]) -> tuple[Any, Any, Any]:
    logits = model(batch)["click"].numpy().astype(np.float64)
    rates = batch["negative_keep_rate"].numpy().astype(np.float64)
    return logits, batch["labels"].numpy()[:, 0], rates


@pytest.mark.parametrize("loss", ["bce", "combined_pair"])
def test_logit_shift_trains_on_z_minus_log_rate(loss: str) -> None:
    job = small_job(SAMPLING, f"model.tasks.click.losses=[{{name: {loss}}}]")
    model = built(job)
    batch = sampled_batch(job)
    logits, labels, rates = parts(model, batch)
    shifted = (logits - np.log(rates)).tolist()
    expected = getattr(oracle, loss)(shifted, labels.tolist(), [1.0] * 20)
    losses = model.compute_losses(batch)
    assert float(losses[f"click/{loss}"]) == pytest.approx(expected, rel=1e-5)
    assert float(losses["loss"]) == pytest.approx(expected, rel=1e-5)


def test_weights_train_on_the_true_logit() -> None:
    job = small_job(SAMPLING, "model.tasks.click.correction=weights")
    model = built(job)
    batch = sampled_batch(job)
    logits, labels, rates = parts(model, batch)
    weights = np.where(labels == 1.0, 1.0, 1.0 / rates).tolist()
    expected = oracle.bce(logits.tolist(), labels.tolist(), weights)
    value = float(model.compute_losses(batch)["click/bce"])
    assert value == pytest.approx(expected, rel=1e-5)


def test_weights_of_a_second_task_follow_the_sampled_label() -> None:
    job = small_job(
        SAMPLING, "model.tasks={click: {}, conversion: {correction: weights}}"
    )
    model = built(job)
    batch = sampled_batch(job)
    _, clicks, rates = parts(model, batch)
    logits = model(batch)["conversion"].numpy().tolist()
    weights = np.where(clicks == 1.0, 1.0, 1.0 / rates).tolist()
    labels = batch["labels"].numpy()[:, 1].tolist()
    value = float(model.compute_losses(batch)["conversion/bce"])
    assert value == pytest.approx(oracle.bce(logits, labels, weights), rel=1e-5)


def test_no_correction_trains_on_z() -> None:
    job = small_job(SAMPLING, "model.tasks.click.correction=none")
    model = built(job)
    batch = sampled_batch(job)
    logits, labels, _ = parts(model, batch)
    expected = oracle.bce(logits.tolist(), labels.tolist(), [1.0] * 20)
    value = float(model.compute_losses(batch)["click/bce"])
    assert value == pytest.approx(expected, rel=1e-5)


def test_given_restricts_a_task_to_its_rows() -> None:
    job = small_job(SAMPLING, TWO_TASKS)
    model = built(job)
    batch = sampled_batch(job)
    labels = batch["labels"].numpy()
    clicked = labels[:, 0] == 1.0
    logits = model(batch)["conversion"].numpy()[clicked].tolist()
    ones = [1.0] * int(clicked.sum())
    # Neither shift nor weight: rows with a click are all kept.
    expected = oracle.bce(logits, labels[clicked, 1].tolist(), ones)
    losses = {k: float(v) for k, v in model.compute_losses(batch).items()}
    assert losses["conversion/bce"] == pytest.approx(expected, rel=1e-5)
    assert losses["loss"] == pytest.approx(
        2.0 * losses["click/bce"] + losses["conversion/bce"], rel=1e-6
    )
    nobody = dict(batch, labels=tf.zeros_like(batch["labels"]))
    assert float(model.compute_losses(nobody)["conversion/bce"]) == 0.0


def test_total_weighs_losses_and_auxiliary_tasks() -> None:
    job = small_job(
        "model.tasks.click.losses="
        "[{name: bce, weight: 0.5}, {name: ranknet, weight: 3.0}]",
        "model.auxiliary=[{name: uim, weight: 0.25}, {name: nip, weight: 0.125}]",
    )
    losses = built(job).compute_losses(random_batch(job, 16))
    values = {name: float(value) for name, value in losses.items()}
    assert values["loss"] == pytest.approx(
        0.5 * values["click/bce"]
        + 3.0 * values["click/ranknet"]
        + 0.25 * values["auxiliary/uim"]
        + 0.125 * values["auxiliary/nip"],
        rel=1e-6,
    )


def test_empty_batch_gives_zero_everywhere() -> None:
    job = small_job(
        "model.tasks.click.losses=[{name: combined_pair}]",
        "model.auxiliary=[{name: uim}, {name: nip}]",
    )
    losses = built(job).compute_losses(random_batch(job, 0))
    assert set(losses) == {
        "loss",
        "click/combined_pair",
        "auxiliary/uim",
        "auxiliary/nip",
    }
    assert all(float(value) == 0.0 for value in losses.values())


def test_variables_fall_into_tables_dense_and_seeds() -> None:
    job = small_job(
        "model.backbone.dropout=0.3", "model.auxiliary=[{name: uim}, {name: nip}]"
    )
    model = built(job)
    tables, dense = model.table_variables, model.dense_variables
    assert [v.path for v in tables] == [
        "tables/width_4",
        "tables/width_3",
        "tables/width_2",
    ]
    assert len(tables) + len(dense) == len(model.trainable_variables)
    assert [v.path for v in model.seed_variables] == [
        f"backbone_hidden_{n}_dropout_seeds/seed_generator_state" for n in range(2)
    ]
    paths = [v.path for v in model.variables]
    assert len(set(paths)) == len(paths)
    inference = {v.path for v in model.inference.variables}
    assert not any("auxiliary" in path for path in inference)
    extra = {path for path in paths if path not in inference}
    assert extra and all(path.startswith("auxiliary_") for path in extra)


REPLICAS = """
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.trainer.test_training_model import built, random_batch, small_job
job = small_job(*OVERRIDES)
batch = random_batch(job, 12)
def losses_and_gradients(model, part, training):
    with tf.GradientTape() as tape:
        losses = model.compute_losses(part, training)
    weights = model.dense_variables
    found = tape.gradient(losses["loss"], [v.value for v in weights])
    return losses, {
        v.path: tf.zeros_like(v) if g is None else g for v, g in zip(weights, found)}

single = built(job)
whole, slopes = losses_and_gradients(single, batch, False)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = built(job)

@tf.function(reduce_retracing=True)
def step(batches):
    return strategy.run(
        lambda part: losses_and_gradients(model, part, TRAINING), (batches,))

for cut in CUTS:
    parts = [{k: v[:cut] for k, v in batch.items()},
             {k: v[cut:] for k, v in batch.items()}]
    shares, gradients = step(strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]))
    for name, share in shares.items():
        total = float(strategy.reduce("SUM", share, axis=None))
        if TRAINING:
            assert np.isfinite(total), name
        else:
            np.testing.assert_allclose(total, float(whole[name]), rtol=1e-5)
    for name, share in ({} if TRAINING else gradients).items():
        total = strategy.reduce("SUM", share, axis=None).numpy()
        limit = 1e-5 * max(abs(slopes[name].numpy()).max(), 1e-3)
        np.testing.assert_allclose(total, slopes[name], rtol=1e-4, atol=limit)
print("ok")
"""


def run_replicas(root: Path, overrides: list[str], cuts: list[int], on: bool) -> None:
    """In a process of its own: logical devices are set before TensorFlow starts."""
    code = REPLICAS.replace("OVERRIDES", repr(overrides)).replace("CUTS", repr(cuts))
    found = subprocess.run(
        [sys.executable, "-c", code.replace("TRAINING", str(on))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.strip().endswith("ok"), found.stderr[-2000:]


def test_shares_of_two_replicas_add_up_to_the_loss(project_root: Path) -> None:
    """Equal and unequal parts, and a part without rows; gradients too."""
    overrides = ["model.tasks={click: {}, conversion: {given: click}}"]
    run_replicas(project_root, overrides, [6, 5, 12], on=False)


@pytest.mark.slow
def test_replicas_with_dropout_and_auxiliary_tasks(project_root: Path) -> None:
    """The state of a seed generator is mirrored, and has to be assignable."""
    overrides = [
        "model.backbone.dropout=0.3",
        "model.auxiliary=[{name: uim}, {name: nip}]",
    ]
    run_replicas(project_root, overrides, [7, 12], on=True)


@pytest.mark.slow
def test_replicas_with_a_table_of_an_auxiliary_task(project_root: Path) -> None:
    """They draw the same negatives, and each takes its own rows."""
    run_replicas(project_root, ["model.auxiliary=[{name: dmr}]"], [7], on=False)
