"""Every loss as a job chooses it: what it is given, and what comes out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.job import Job
from tests.oracles import losses as oracle
from tests.trainer.model_jobs import random_batch, small_job
from tests.trainer.test_training_model import built, run_replicas
from trainer.losses.registry import LOSSES

ROWS = 24
SAMPLING = "preprocessing.sampling.negative_keep_rate=0.1"
SESSION = "ids.session=session"
BETWEEN = 2**60
"""Session ids from here on are one number in float32."""

SECTIONS = {
    "bce": "{name: bce, beta: 0.5}",
    "ranknet": "{name: ranknet}",
    "combined_pair": "{name: combined_pair, alpha: 0.7}",
    "combined_list": "{name: combined_list, alpha: 0.7}",
    "rcr": "{name: rcr, alpha: 0.7}",
    "jrc": "{name: jrc, alpha: 0.7}",
    "focal": "{name: focal, gamma: 1.5}",
    "focal_balanced": "{name: focal_balanced, gamma: 1.5}",
    "combined_contrastive": "{name: combined_contrastive, alpha: 0.7}",
    "pwiser": "{name: pwiser, conversion: conversion, strength: 2.0}",
}
WITH_CONTEXT = [
    name
    for name in SECTIONS
    if name in LOSSES and name not in ("bce", "focal", "focal_balanced")
]

EXPECTED: dict[str, Callable[..., float]] = {
    "bce": lambda z, y, w, c, **_: oracle.bce(z, y, w, beta=0.5),
    "ranknet": lambda z, y, w, c, **_: oracle.ranknet(z, y, w, c),
    "combined_pair": lambda z, y, w, c, **_: oracle.combined_pair(z, y, w, c, 0.7),
    "combined_list": lambda z, y, w, c, **_: oracle.combined_list(z, y, w, c, 0.7),
    "rcr": lambda z, y, w, c, **_: oracle.rcr(z, y, w, c, 0.7),
    "jrc": lambda z, y, w, c, **_: oracle.jrc(z, y, w, c, 0.7),
    "focal": lambda z, y, w, c, **_: oracle.focal(z, y, w, 1.5),
    "focal_balanced": lambda z, y, w, c, **_: oracle.focal(z, y, w, 1.5, balanced=True),
    "combined_contrastive": lambda z, y, w, c, hidden, **_: oracle.combined_contrastive(
        z, y, w, c, 0.7, hidden=hidden
    ),
    "pwiser": lambda z, y, w, c, conversions, **_: oracle.pwiser(
        z, y, w, c, strength=2.0, conversions=conversions
    ),
}


def job_with(loss: str, *overrides: str, context: str | None = None) -> Job:
    """Returns a job with one loss on clicks, with the head that it needs."""
    section = SECTIONS[loss]
    if context is not None:
        section = section.replace("}", f", context: {context}}}")
    changes = [SESSION, f"model.tasks.click.losses=[{section}]"]
    if loss == "jrc":
        changes.append("model.tasks.click.head=two_logits")
    return small_job(*changes, *overrides)


def sampled_batch(job: Job, rows: int = ROWS) -> dict[str, tf.Tensor]:
    """Returns a batch with several keep rates, and sessions of several rows."""
    random = np.random.default_rng(1)
    batch = random_batch(job, rows)
    rates = random.choice(np.array([0.1, 0.5, 1.0], np.float32), rows)
    ids = batch["ids"].numpy()
    ids[:, -1] = BETWEEN + random.integers(0, 6, rows)
    return dict(batch, negative_keep_rate=tf.constant(rates), ids=tf.constant(ids))


def numbers(values: Any) -> Any:
    return np.asarray(values).astype(np.float64)


def hand_arithmetic(
    job: Job, model: Any, batch: dict[str, tf.Tensor], loss: str, inside: bool
) -> float:
    """What the loss of clicks is to be, from the model's outputs alone."""
    groups = model.inference.embed(batch)
    hidden = model.inference.hidden(groups)
    outputs = numbers(model.inference.outputs(hidden)["click"])
    labels, rates = numbers(batch["labels"]), numbers(batch["negative_keep_rate"])
    weights = np.ones(len(labels))
    correction = job.correction("click")
    shift = np.log(rates)
    if correction == "weights" or (correction == "logit_shift" and loss == "pwiser"):
        weights = np.where(labels[:, 0] == 1.0, 1.0, 1.0 / rates)
    elif correction == "logit_shift" and loss == "jrc":
        outputs[:, 0] += shift
    elif correction == "logit_shift":
        outputs -= shift
    return EXPECTED[loss](
        outputs.tolist(),
        labels[:, 0].tolist(),
        weights.tolist(),
        batch["ids"].numpy()[:, -1].tolist() if inside else None,
        hidden=numbers(hidden["click"]).tolist(),
        conversions=labels[:, 1].tolist(),
    )


def test_every_loss_has_a_row_in_this_table() -> None:
    assert set(LOSSES) <= set(SECTIONS)
    assert set(SECTIONS) == set(EXPECTED)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_sees_the_outputs_of_the_sample(loss: str) -> None:
    job = job_with(loss, SAMPLING)
    model, batch = built(job), sampled_batch(job)
    expected = hand_arithmetic(job, model, batch, loss, inside=False)
    values = model.compute_losses(batch)
    assert float(values[f"click/{loss}"]) == pytest.approx(expected, rel=2e-5)
    assert float(values["loss"]) == pytest.approx(expected, rel=2e-5)
    assert set(values) == {"loss", f"click/{loss}"}


@pytest.mark.parametrize("correction", ["weights", "none"])
@pytest.mark.parametrize("loss", ["jrc", "pwiser", "combined_list"])
def test_a_loss_sees_true_outputs_and_weights(loss: str, correction: str) -> None:
    job = job_with(loss, SAMPLING, f"model.tasks.click.correction={correction}")
    model, batch = built(job), sampled_batch(job)
    expected = hand_arithmetic(job, model, batch, loss, inside=False)
    value = float(model.compute_losses(batch)[f"click/{loss}"])
    assert value == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("loss", WITH_CONTEXT)
def test_a_loss_stays_inside_the_context_of_the_job(loss: str) -> None:
    job = job_with(loss, SAMPLING, context="session")
    model, batch = built(job), sampled_batch(job)
    expected = hand_arithmetic(job, model, batch, loss, inside=True)
    values = model.compute_losses(batch)
    assert float(values[f"click/{loss}"]) == pytest.approx(expected, rel=2e-5)
    sessions: dict[int, set[float]] = {}
    for session, label in zip(
        batch["ids"].numpy()[:, -1], batch["labels"].numpy()[:, 0], strict=True
    ):
        sessions.setdefault(int(session), set()).add(float(label))
    share = np.mean([len(labels) == 2 for labels in sessions.values()])
    assert float(values["click/contexts_with_pairs"]) == pytest.approx(share)
    assert float(values["loss"]) == float(values[f"click/{loss}"])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_tape_gives_finite_gradients_and_an_empty_batch_gives_zero(
    loss: str,
) -> None:
    context = "session" if loss in WITH_CONTEXT else None
    job = job_with(loss, SAMPLING, context=context)
    model = built(job)
    for rows in (ROWS, 0):
        batch = sampled_batch(job, rows)
        with tf.GradientTape() as tape:
            total = model.compute_losses(batch)["loss"]
        gradients = tape.gradient(total, [v.value for v in model.dense_variables])
        given = [g for g in gradients if g is not None]
        assert given and all(np.isfinite(g.numpy()).all() for g in given)
        if rows == 0:
            assert float(total) == 0.0


def test_several_losses_and_tasks_add_up() -> None:
    job = small_job(
        SAMPLING,
        SESSION,
        "model.tasks={click: {head: two_logits, weight: 2.0, losses: ["
        "{name: jrc, weight: 0.5, context: session}, {name: focal, weight: 0.25},"
        "{name: ranknet, weight: 3.0}]},"
        "conversion: {given: click, losses: [{name: rcr, context: session}]}}",
    )
    model, batch = built(job), sampled_batch(job)
    values = {k: float(v) for k, v in model.compute_losses(batch).items()}
    assert values["loss"] == pytest.approx(
        2.0
        * (
            0.5 * values["click/jrc"]
            + 0.25 * values["click/focal"]
            + 3.0 * values["click/ranknet"]
        )
        + values["conversion/rcr"],
        rel=1e-6,
    )
    assert {"click/contexts_with_pairs", "conversion/contexts_with_pairs"} < set(values)
    # On two logits, one-logit losses see their difference.
    z = model(batch)["click"].numpy() - np.log(batch["negative_keep_rate"].numpy())
    labels = batch["labels"].numpy()
    expected = oracle.ranknet(z.tolist(), labels[:, 0].tolist(), [1.0] * ROWS)
    assert values["click/ranknet"] == pytest.approx(expected, rel=1e-5)
    # The second task sees its own rows alone.
    chosen = labels[:, 0] == 1.0
    logits = model(batch)["conversion"].numpy()[chosen].tolist()
    sessions = batch["ids"].numpy()[chosen, -1].tolist()
    ones = [1.0] * len(logits)
    expected = oracle.rcr(logits, labels[chosen, 1].tolist(), ones, sessions)
    assert values["conversion/rcr"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_losses_across_replicas_equal_those_of_one(project_root: Path) -> None:
    """Equal and unequal parts, and a part without rows, contexts cut in between."""
    losses = [
        SECTIONS[name].replace("}", ", context: user}")
        if name in WITH_CONTEXT
        else SECTIONS[name]
        for name in ("ranknet", "focal_balanced", "jrc", "focal")
    ]
    click = f"{{head: two_logits, losses: [{', '.join(losses)}]}}"
    conversion = f"{{given: click, losses: [{SECTIONS['combined_list']}]}}"
    overrides = [
        SAMPLING,
        f"model.tasks={{click: {click}, conversion: {conversion}}}",
    ]
    run_replicas(project_root, overrides, [5, 12], on=False)
    # With alpha 0 there is no second cross-entropy.
    contrastive = SECTIONS["combined_contrastive"].replace("0.7", "0.0")
    others = [SECTIONS["pwiser"], SECTIONS["ranknet"], contrastive]
    overrides = [
        SAMPLING,
        f"model.tasks={{click: {{losses: [{', '.join(others)}]}}}}",
    ]
    run_replicas(project_root, overrides, [7], on=False)
