"""Learning from rows whose labels come late: what each task sees, and where it ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import JobError
from configs.job import Job
from tests.oracles import fake_negatives as late
from tests.oracles.losses import bce
from tests.trainer.model_jobs import random_batch, small_job
from tests.trainer.test_task_losses import EXPECTED, SECTIONS
from tests.trainer.test_training_model import built, run_replicas
from trainer.fake_negatives import fake_negative_rows, fake_negative_weights
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.registry import LOSSES
from trainer.observations import observed

LATE = [
    "labels={click: {window: 30m}, conversion: {after: click, window: 7d}}",
    "data.events={click: {path: c, event: id, key: shown, time: at},"
    " conversion: {path: b, event: id, key: shown, time: at}}",
    "stream={join: {state: out/join, observe: 5m}}",
]
SAMPLING = "preprocessing.sampling.negative_keep_rate=0.1"
WEIGHABLE = [name for name in LOSSES if name not in ("combined_contrastive", "pwiser")]
ROWS = 30


def late_job(*overrides: str) -> Job:
    return small_job(*LATE, *overrides)


def clicks_job(loss: str, *overrides: str) -> Job:
    """A job that learns from clicks with one loss, and the head that it needs."""
    head = "two_logits" if loss == "jrc" else "single_logit"
    task = f"{{observations: fnw, head: {head}, losses: [{SECTIONS[loss]}]}}"
    return late_job(f"model.tasks.click={task}", *overrides)


def late_batch(job: Job, rows: int = ROWS) -> dict[str, tf.Tensor]:
    """Rows of all kinds with several keep rates; conversions come after clicks."""
    random = np.random.default_rng(3)
    batch = random_batch(job, rows)
    labels = random.integers(0, 2, (rows, 2))
    labels[:, 1] &= labels[:, 0]
    known = [late.FIRST, late.REPEATED, late.SETTLED]
    kinds = np.where(
        labels == 1,
        random.choice([*known, late.LATE_POSITIVE], (rows, 2)),
        random.choice([*known, late.REAL_NEGATIVE], (rows, 2)),
    )
    rates = random.choice(np.array([0.1, 0.5, 1.0], np.float32), rows)
    return batch | {
        "labels": tf.constant(labels.astype(np.float32)),
        "label_kinds": tf.constant(kinds),
        "negative_keep_rate": tf.constant(rates),
    }


def row_by_row(job: Job, batch: dict[str, tf.Tensor], task: str, logits: Any) -> Any:
    """What the loss is to see of a task: logits, labels and weights, and which rows."""
    names, section = list(job.labels), job.model.tasks[task]
    rates = batch["negative_keep_rate"].numpy().astype(float)
    found = []
    for row, (kinds, labels) in enumerate(
        zip(batch["label_kinds"].numpy(), batch["labels"].numpy(), strict=True)
    ):
        known = dict(zip(names, labels.astype(int).tolist(), strict=True))
        roles = late.roles(
            dict(zip(names, kinds.tolist(), strict=True)), known, task, section.given
        )
        shifted = job.correction(task) == "logit_shift"
        sampling = 1.0
        if job.correction(task) == "weights" and known[job.sampled_label] == 0:
            sampling = 1.0 / rates[row]
        found += [
            (row, label, weight * sampling)
            for label, weight in late.weighted_rows(
                roles, known[task], logits[row], rates[row] if shifted else 1.0
            )
        ]
    return [list(column) for column in zip(*found, strict=True)]


def by_hand(job: Job, model: Any, batch: dict[str, tf.Tensor], loss: str) -> float:
    """The loss of clicks from the model's outputs alone, as a list of single rows."""
    hidden = model.inference.hidden(model.inference.embed(batch))
    outputs = np.asarray(model.inference.outputs(hidden)["click"]).astype(float)
    true = outputs[:, 1] - outputs[:, 0] if loss == "jrc" else outputs
    rows, labels, weights = row_by_row(job, batch, "click", true.tolist())
    if job.correction("click") == "logit_shift":
        shift = np.log(batch["negative_keep_rate"].numpy().astype(float))
        if loss == "jrc":
            outputs[:, 0] += shift
        else:
            outputs = outputs - shift
    return EXPECTED[loss](outputs[rows].tolist(), labels, weights, None)


@pytest.mark.parametrize("loss", WEIGHABLE)
def test_every_loss_sees_weighted_rows(loss: str) -> None:
    job = clicks_job(loss, SAMPLING)
    model, batch = built(job), late_batch(job)
    expected = by_hand(job, model, batch, loss)
    values = model.compute_losses(batch)
    assert float(values[f"click/{loss}"]) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("correction", ["weights", "none"])
def test_weights_of_the_sample_and_of_fake_negatives_multiply(correction: str) -> None:
    job = clicks_job("bce", SAMPLING, f"model.tasks.click.correction={correction}")
    model, batch = built(job), late_batch(job)
    expected = by_hand(job, model, batch, "bce")
    value = float(model.compute_losses(batch)["click/bce"])
    assert value == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("method", ["settled", "first", "first_and_late"])
@pytest.mark.parametrize("task", ["{given: click}", "{entire_space: click}"])
def test_a_task_takes_the_rows_of_its_method(method: str, task: str) -> None:
    section = task.replace("}", f", observations: {method}}}")
    job = late_job(f"model.tasks={{click: {{}}, conversion: {section}}}")
    model, batch = built(job), late_batch(job)
    batch["negative_keep_rate"] = tf.ones([ROWS])
    logits = model(batch)["conversion"].numpy()
    taken = {"first_and_late": {"first", "late"}}.get(method, {method})
    given = job.model.tasks["conversion"].given
    chosen = [
        bool(
            taken
            & late.roles(
                dict(zip(job.labels, kinds, strict=True)),
                dict(zip(job.labels, labels, strict=True)),
                "conversion",
                given,
            )
        )
        for kinds, labels in zip(
            batch["label_kinds"].numpy(), batch["labels"].numpy(), strict=True
        )
    ]
    labels = batch["labels"].numpy()[chosen, 1].tolist()
    expected = bce(logits[chosen].tolist(), labels, [1.0] * len(labels))
    assert 0 < sum(chosen) < ROWS
    value = float(model.compute_losses(batch)["conversion/bce"])
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rates", [False, True])
def test_gradient_is_the_difference_of_the_loss_with_frozen_weights(rates: bool):
    """The weights follow the logits, and are constants to the gradient."""
    head_logits = np.random.default_rng(0).normal(size=20).astype(np.float32) * 3.0
    kept = np.random.default_rng(1).uniform(0.05, 1.0, 20).astype(np.float32)
    z = tf.constant(head_logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        negatives, positives = fake_negative_weights(z, kept if rates else None)
        shifted = z - np.log(kept) if rates else z
        loss = tf.reduce_sum(
            negatives * tf.nn.softplus(shifted) + positives * tf.nn.softplus(-shifted)
        )
    slopes = tape.gradient(loss, z).numpy()
    for found, logit, rate in zip(slopes, head_logits, kept, strict=True):
        r = float(rate) if rates else 1.0
        w = [late.importance(float(logit), r, label) for label in (0, 1)]

        def surrogate(x: float, w: Any = w, r: float = r) -> float:
            x -= np.log(r)
            return w[0] * np.logaddexp(0.0, x) + w[1] * np.logaddexp(0.0, -x)

        step = 1e-5
        slope = (surrogate(logit + step) - surrogate(logit - step)) / (2.0 * step)
        assert found == pytest.approx(slope, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("logit", [-1e4, -50.0, 0.0, 50.0, 1e4])
@pytest.mark.parametrize("rate", [1e-6, 1.0])
def test_weights_stay_finite_and_bounded(logit: float, rate: float) -> None:
    negatives, positives = fake_negative_weights(
        tf.constant([logit]), tf.constant([rate])
    )
    assert 0.0 <= float(negatives[0]) <= 1.0 + 1.0 / 3.0
    assert 1.0 <= float(positives[0]) <= 2.0


def simulated(rate: float, at_once: float, kept: float, impressions: int) -> Any:
    """A stream of impressions of the same features: (label, kind) of its rows.

    A share of the positives is known at first; negatives are kept at a rate by a draw
    of the impression, in all its rows.
    """
    random = np.random.default_rng(7)
    positive = random.random(impressions) < rate
    early = positive & (random.random(impressions) < at_once)
    lucky = random.random(impressions) < kept
    rows = [(int(e), late.FIRST) for e, k in zip(early, lucky, strict=True) if e or k]
    rows += [(1, late.LATE_POSITIVE)] * int((positive & ~early).sum())
    # A negative whose window closes is a third row, which fnw leaves aside.
    rows += [(0, late.REAL_NEGATIVE)] * int((~positive & lucky).sum())
    return rows


@pytest.mark.parametrize("correction", ["logit_shift", "weights"])
@pytest.mark.parametrize("kept", [1.0, 0.25])
@pytest.mark.parametrize("at_once", [0.0, 0.6])
def test_the_minimiser_is_the_true_rate(kept: float, at_once: float, correction: str):
    """However many positives are known at first, and however many negatives dropped.

    The expected gradient by the logit is followed to where it vanishes.
    """
    rate, impressions = 0.2, 200_000
    rows = simulated(rate, at_once, kept, impressions)
    shifted = correction == "logit_shift"

    def slope(logit: float, labelled: list[tuple[str, int]]) -> float:
        r = kept if shifted else 1.0
        z = logit - np.log(r)
        total = 0.0
        for label, kind in labelled:
            roles = late.roles({"y": kind}, {"y": label}, "y", None)
            sampling = 1.0 if shifted or label == 1 else 1.0 / kept
            for y, weight in late.weighted_rows(roles, label, logit, r):
                total += sampling * weight * (late.sigmoid(z) - y)
        return total

    def mean_slope(logit: float) -> float:
        return sum(n * slope(logit, [row]) for row, n in counts.items())

    kinds, numbers = np.unique(rows, axis=0, return_counts=True)
    counts = {tuple(map(int, k)): int(n) for k, n in zip(kinds, numbers, strict=True)}
    low, high = -6.0, 4.0
    assert mean_slope(low) < 0.0 < mean_slope(high)
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if mean_slope(middle) > 0.0 else (middle, high)
    assert late.sigmoid(low) == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize("correction", ["logit_shift", "weights"])
@pytest.mark.parametrize("at_once", [0.0, 0.6])
def test_the_gradient_of_a_model_at_the_true_rate_vanishes(
    at_once: float, correction: str
) -> None:
    """The same on the code under test: rows of one kind of impression, in exact
    shares, all with the logit of the true rate. Of two, one is too low."""
    rate, kept = 0.2, 0.25
    shares = {  # (label, kind): rows for each impression
        (1, late.FIRST): rate * at_once,
        (0, late.FIRST): (1.0 - rate * at_once) * kept,
        (1, late.LATE_POSITIVE): rate * (1.0 - at_once),
        (0, late.REAL_NEGATIVE): (1.0 - rate) * kept,
    }
    labels = tf.constant([[float(label)] for label, _ in shares])
    kinds = tf.constant([[kind] for _, kind in shares], tf.int64)
    counts = tf.constant([*shares.values()], tf.float32)
    rates = tf.fill([4], kept)
    shifted = correction == "logit_shift"
    sampling = tf.where((labels[:, 0] > 0.5) | shifted, 1.0, 1.0 / kept)

    def gradient(p: float) -> float:
        z = tf.fill([4], float(np.log(p / (1.0 - p))))
        with tf.GradientTape() as tape:
            tape.watch(z)
            outputs = z - np.log(kept) if shifted else z
            columns = fake_negative_rows(
                {"outputs": outputs, "labels": labels[:, 0], "weights": sampling},
                observed(labels, kinds, label=0, given=None),
                z,
                rates if shifted else None,
            )
            losses = BinaryCrossEntropy().per_example(
                columns["outputs"],
                columns["labels"],
                weights=columns["weights"] * tf.concat([counts, counts], 0),
                mask=columns["mask"],
            )
            loss = tf.reduce_sum(losses)
        return float(tf.reduce_sum(tape.gradient(loss, z)))

    assert gradient(rate) == pytest.approx(0.0, abs=1e-6)
    assert gradient(0.9 * rate) < -1e-4
    assert gradient(1.1 * rate) > 1e-4


@pytest.mark.slow
def test_shares_of_two_replicas_add_up(project_root: Path) -> None:
    """Rows are doubled on each replica, before those of others are seen."""
    pair = (
        "{observations: fnw, losses: [{name: combined_pair}, {name: focal_balanced}]}"
    )
    task = "{given: click, observations: fnw, losses: [{name: rcr}]}"
    overrides = [*LATE, SAMPLING, f"model.tasks={{click: {pair}, conversion: {task}}}"]
    run_replicas(project_root, overrides, [5, 12], on=False)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_batch_without_a_row_of_the_task_gives_zero(rows: int) -> None:
    job = clicks_job("combined_pair", SAMPLING)
    model, batch = built(job), late_batch(job, rows)
    batch["label_kinds"] = tf.fill([rows, 2], tf.constant(late.REPEATED, tf.int64))
    with tf.GradientTape() as tape:
        total = model.compute_losses(batch)["loss"]
    gradients = tape.gradient(total, [v.value for v in model.dense_variables])
    assert float(total) == 0.0
    assert all(np.isfinite(g.numpy()).all() for g in gradients if g is not None)


def test_auxiliary_tasks_see_a_click_once() -> None:
    job = late_job("model.auxiliary=[{name: uim}]")
    model, batch = built(job), late_batch(job)
    again = batch["label_kinds"].numpy() == late.REPEATED
    clicked = batch["labels"].numpy() == 1.0
    assert (again & clicked)[:, 0].any()
    values = model.compute_losses(batch, training=False)
    only = dict(batch, labels=tf.constant(np.where(again, 0, clicked), tf.float32))
    expected = model.compute_losses(only, training=False)
    assert float(values["auxiliary/uim"]) == float(expected["auxiliary/uim"])
    del batch["label_kinds"]
    whole = model.compute_losses(batch, training=False)
    assert float(values["auxiliary/uim"]) != float(whole["auxiliary/uim"])


REFUSED = [
    (
        [
            "model.tasks.click.observations=fnw",
            "model.tasks.click.losses=[{name: combined_contrastive}]",
        ],
        "compare a row with itself",
    ),
    (
        [
            "model.tasks.click={observations: fnw, losses: [{name: pwiser,"
            " conversion: conversion}]}"
        ],
        "nothing for pwiser",
    ),
    (
        [
            SAMPLING,
            "model.tasks={click: {}, conversion: {entire_space: click,"
            " observations: fnw}}",
        ],
        "use 'correction: weights'",
    ),
    (["stream.join.real_negatives=false"], "only rows would be positives"),
    (
        [
            "labels.conversion={window: 7d}",
            "model.tasks={click: {}, conversion: {given: click}}",
        ],
        "labels.conversion.after: click",
    ),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_what_makes_no_sense_is_refused(changes: list[str], words: str) -> None:
    with pytest.raises(JobError, match=words):
        late_job(*changes)


def test_warnings_name_what_has_no_effect_or_bends() -> None:
    job = small_job("model.tasks.click.observations=fnw")
    assert any("no label comes late" in line for line in job.warnings())
    job = late_job("model.tasks.click.observations=first_and_late")
    assert any("too low" in line for line in job.warnings())
    assert not any("observations" in line for line in late_job().warnings())
