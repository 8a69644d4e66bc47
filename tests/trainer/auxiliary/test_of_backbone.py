"""The losses of DIEN and DBPMaN against loops, and that they are for training alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.job import Job
from tests.oracles import backbone_losses as oracle
from tests.trainer import test_training_model
from tests.trainer.model_jobs import (
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.auxiliary.draws import Draws
from trainer.auxiliary.of_backbone import OF_BACKBONE
from trainer.inference import build_inference_model
from trainer.training_model import TrainingModel
from trainer.variables import named_variables

FORMS = {
    "dien": "{name: dien, hidden: [6], units: 5, auxiliary_hidden: [6]",
    "dbpman": "{name: dbpman, hidden: [6], attention_hidden: [6], router_hidden: 7,"
    " path_length: 2, stride: 1, kept: 1, item_dropout: 0.4",
}
ROWS = 12


def job_of(name: str, weight: float | None = None) -> Job:
    text = FORMS[name]
    if weight is not None:
        text += f", auxiliary_weight: {weight}"
    return small_job(f"model.backbone={text}}}")


def built(job: Job) -> TrainingModel:
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    model = TrainingModel(inference, job)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if "bias" in variable.path:
            variable.assign(random.normal(size=variable.shape))
    return model


def histories_of(model: TrainingModel, batch: Any) -> tuple[list[Any], list[Any]]:
    """Behaviours [n, D] of each row, and their items."""
    sequence = model.inference.embed(batch).sequences["history"]
    there = sequence.mask.numpy()
    values = sequence.values.numpy().astype(np.float64)
    items = batch["sequence/history/item"].numpy()
    return (
        [v[m] for v, m in zip(values, there, strict=True)],
        [i[m].tolist() for i, m in zip(items, there, strict=True)],
    )


def test_states_tell_the_next_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    drawn = random.integers(0, 10**6, 100)

    def integers(self: Draws, shape: Any, below: Any) -> tf.Tensor:
        return tf.constant(drawn, tf.int32)[: int(shape[0])] % tf.maximum(below, 1)

    monkeypatch.setattr(Draws, "integers", integers)
    model = built(job_of("dien"))
    batch = random_batch(job_of("dien"), ROWS)
    histories, items = histories_of(model, batch)
    count = sum(max(len(history) - 1, 0) for history in histories)
    weights = {v.path: v.numpy() for v in model.variables}
    steps = [1 + int(x) % (count - 1) for x in drawn[:count]]
    expected = oracle.next_behaviour(histories, items, steps, 9, weights)
    found = model.compute_losses(batch)
    assert float(found["auxiliary/dien"]) == pytest.approx(expected, rel=1e-4)
    total = found["click/bce"] + found["auxiliary/dien"]
    assert float(found["loss"]) == pytest.approx(float(total), rel=1e-6)


def test_views_of_a_history_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of("dbpman", 0.3)
    model = built(job)
    batch = random_batch(job, ROWS)
    # Rows 3 and 4 have the history of row 2: it counts once.
    rows = [0, 1, 2, 2, 2, *range(5, ROWS)]
    for key in batch:
        if key.startswith("sequence/"):
            batch[key] = tf.gather(batch[key], rows)
    histories, _ = histories_of(model, batch)
    kept = [i for i, h in enumerate(histories) if len(h) > 1 and i not in (3, 4)]
    drawn = np.random.default_rng(2).random((2, len(kept), 5)).astype(np.float32)

    def fractions(self: Draws, shape: Any) -> tf.Tensor:
        assert [int(x) for x in shape] == list(drawn.shape)
        return tf.constant(drawn)

    monkeypatch.setattr(Draws, "fractions", fractions)
    seen = drawn >= np.float32(0.4)
    weights = {v.path: v.numpy() for v in model.variables}
    expected = oracle.path_contrast(
        [histories[i] for i in kept],
        (seen[0], seen[1]),
        4,
        7,
        weights,
        job.model.backbone,
    )
    found = model.compute_losses(batch)
    assert float(found["auxiliary/dbpman"]) == pytest.approx(expected, rel=1e-4)
    total = found["click/bce"] + 0.3 * found["auxiliary/dbpman"]
    assert float(found["loss"]) == pytest.approx(float(total), rel=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_without_histories_the_loss_is_zero(name: str) -> None:
    job = job_of(name)
    model = built(job)
    batch = random_batch(job, 4)
    for key, value in batch.items():
        if key.startswith("sequence/"):
            batch[key] = tf.fill(value.shape, tf.constant(-1, value.dtype))
    for rows in (4, 0):
        found = model.compute_losses({k: v[:rows] for k, v in batch.items()})
        assert float(found[f"auxiliary/{name}"]) == 0.0
        assert np.isfinite(float(found["loss"]))


@pytest.mark.parametrize("name", FORMS)
def test_nothing_of_it_is_served(name: str) -> None:
    assert set(OF_BACKBONE) == set(FORMS)
    model, without = built(job_of(name)), built(job_of(name, 0.0))
    served = set(named_variables(model.inference))
    assert served == set(named_variables(without.inference))
    assert not [path for path in served if "auxiliary" in path]
    assert f"auxiliary/{name}" not in without.compute_losses(
        random_batch(job_of(name), 4)
    )
    trained = {f"inference/{path}" for path in served}
    assert set(named_variables(without)) == trained
    assert set(named_variables(model)) > trained


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_shares_of_two_replicas_add_up(
    project_root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They draw the same, and each takes its own rows."""
    # The direction of a short path vector widens the rounding of its gradient.
    code = test_training_model.REPLICAS.replace("limit = 1e-5", "limit = 1e-4")
    monkeypatch.setattr(test_training_model, "REPLICAS", code)
    test_training_model.run_replicas(
        project_root, [f"model.backbone={FORMS[name]}}}"], [7], on=False
    )
