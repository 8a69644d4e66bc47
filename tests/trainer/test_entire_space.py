"""Products of probabilities: their logit, their losses, and down-sampled negatives."""

import math
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.job import Job
from configs.manifest import ExampleSplit
from tests.oracles import losses as loss_oracle
from tests.oracles.multi_task import logit, probability
from tests.trainer.model_jobs import (
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from tests.trainer.test_training_model import run_replicas
from trainer.base_rates import base_rates
from trainer.entire_space import EntireSpace, joint_logit
from trainer.inference import build_inference_model
from trainer.training_model import TrainingModel

PRODUCT = (
    "labels.conversion.after=click",
    "model.tasks={click: {}, conversion: {entire_space: click}}",
)
SAMPLING = "preprocessing.sampling.negative_keep_rate=0.1"
CHAIN = (
    "labels={click: {column: click}, cart: {column: cart, after: click},"
    " purchase: {column: purchase, after: cart}}",
    "model.tasks={click: {correction: none}, cart: {entire_space: click, correction:"
    " none}, purchase: {entire_space: cart}}",
)
LOGITS = [-300.0, -40.0, -8.5, -1.0, 0.0, 0.5, 8.5, 40.0, 300.0]


def built(job: Job) -> TrainingModel:
    model = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    return TrainingModel(model, job)


def exact_joint(first: float, second: float) -> float:
    """The logit of the product, in 400 digits."""
    with localcontext() as context:
        context.prec = 400
        p = 1 / (1 + (-Decimal(first)).exp()) / (1 + (-Decimal(second)).exp())
        return float((p / (1 - p)).ln())


def head_of(sampled_factors: int | None) -> EntireSpace:
    return EntireSpace(3, sampled_factors=sampled_factors, name="head", seed=1)


@pytest.mark.parametrize("first", LOGITS)
def test_the_logit_of_a_product_is_exact_at_both_ends(first: float) -> None:
    found = joint_logit(tf.fill([len(LOGITS)], first), tf.constant(LOGITS)).numpy()
    expected = [exact_joint(first, second) for second in LOGITS]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_far_logits_have_finite_values_and_gradients() -> None:
    far = tf.constant([-1e4, -1e4, 1e4, 1e4, 0.0])
    other = tf.constant([-1e4, 1e4, -1e4, 1e4, -1e4])
    for label in (0.0, 1.0):
        with tf.GradientTape() as tape:
            tape.watch([far, other])
            joint = joint_logit(far, other)
            labels = tf.fill([5], label)
            loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, joint)
        assert np.isfinite(loss.numpy()).all()
        for gradient in tape.gradient(loss, [far, other]):
            assert np.isfinite(gradient.numpy()).all()


def test_gradients_are_those_of_the_product() -> None:
    a, b = tf.constant([-2.0, 0.3, 1.7]), tf.constant([0.4, -3.0, 2.5])
    p = 1.0 / (1.0 + np.exp(-a.numpy().astype(np.float64)))
    q = 1.0 / (1.0 + np.exp(-b.numpy().astype(np.float64)))
    # Of -log(p q), and of -log(1 - p q), by a, with dp / da = p (1 - p).
    expected = {1.0: -(1.0 - p), 0.0: q * p * (1.0 - p) / (1.0 - p * q)}
    for label, by_hand in expected.items():
        with tf.GradientTape() as tape:
            tape.watch(a)
            labels = tf.fill([3], label)
            loss = tf.nn.sigmoid_cross_entropy_with_logits(labels, joint_logit(a, b))
        np.testing.assert_allclose(tape.gradient(loss, a), by_hand, rtol=1e-5)


@pytest.mark.parametrize("multi_task", ["null", "{name: mmoe, expert: [5], tower: []}"])
@pytest.mark.parametrize("head", ["single_logit", "two_logits"])
def test_product_and_condition_are_served_and_the_loss_is_on_the_product(
    head: str, multi_task: str
) -> None:
    tasks = f"{{click: {{head: {head}}}, conversion: {{entire_space: click}}}}"
    job = small_job(
        PRODUCT[0], f"model.tasks={tasks}", f"model.multi_task={multi_task}"
    )
    model, batch = built(job), random_batch(job, 24)
    served = {k: v.numpy().astype(float) for k, v in model(batch).items()}
    assert set(served) == {"click", "conversion", "conversion_given_click"}
    click = [probability(z) for z in served["click"]]
    given = [probability(z) for z in served["conversion_given_click"]]
    joint = [p * q for p, q in zip(click, given, strict=True)]
    found = [probability(z) for z in served["conversion"]]
    np.testing.assert_allclose(found, joint, rtol=1e-5)
    labels = batch["labels"].numpy()[:, 1].tolist()
    expected = -sum(
        math.log(p) if y else math.log(1.0 - p)
        for p, y in zip(joint, labels, strict=True)
    )
    value = float(model.compute_losses(batch)["conversion/bce"])
    assert value == pytest.approx(expected / 24, rel=1e-5)


def test_every_loss_takes_the_product_for_a_logit() -> None:
    losses = "[{name: combined_pair, alpha: 0.7}, {name: focal, gamma: 1.5}]"
    job = small_job(
        PRODUCT[0], PRODUCT[1].replace("click}}", f"click, losses: {losses}}}}}")
    )
    model, batch = built(job), random_batch(job, 24)
    z = model(batch)["conversion"].numpy().tolist()
    y = batch["labels"].numpy()[:, 1].tolist()
    values = model.compute_losses(batch)
    pair = loss_oracle.combined_pair(z, y, [1.0] * 24, None, 0.7)
    assert float(values["conversion/combined_pair"]) == pytest.approx(pair, rel=2e-5)
    focal = loss_oracle.focal(z, y, [1.0] * 24, 1.5)
    assert float(values["conversion/focal"]) == pytest.approx(focal, rel=2e-5)


# Down-sampled negatives, by arithmetic.


@pytest.mark.parametrize("rate", [1.0, 0.3, 0.01])
def test_the_product_of_the_sample_is_the_rate_that_counting_finds(rate: float) -> None:
    """Of 10,000 rows p are clicked and q of these converted; r of the rest is kept."""
    for p, q in ((0.04, 0.25), (0.5, 0.1), (0.9, 0.95)):
        clicked, rest = 10_000 * p, 10_000 * (1.0 - p)
        counted = clicked * q / (clicked + rest * rate)
        outputs = tf.constant([[logit(p), logit(q)]])
        head, log_rate = head_of(1), tf.constant([math.log(rate)])
        sampled = head.logit(head.sampled(outputs, log_rate)).numpy()[0]
        assert probability(float(sampled)) == pytest.approx(counted, rel=1e-5)
        if rate < 1.0:  # What a constant shift of the product would say is wrong.
            shifted = probability(logit(p * q) - math.log(rate))
            assert abs(shifted - counted) > 0.01 * counted


def test_any_factor_may_be_the_sampled_one() -> None:
    """Click p, cart q of the clicked, purchase s of the carts, at the rate 1/10."""
    p, q, s, rate = 0.3, 0.2, 0.4, 0.1
    outputs = tf.constant([[logit(p), logit(q), logit(s)]])
    log_rate = tf.constant([math.log(rate)])
    counted = {
        1: p * q * s / (p + (1.0 - p) * rate),
        2: p * q * s / (p * q + (1.0 - p * q) * rate),
        3: p * q * s / (p * q * s + (1.0 - p * q * s) * rate),
    }
    for factors, expected in counted.items():
        head = head_of(factors)
        sampled = head.sampled(outputs, log_rate)
        assert sampled.shape == (1, 4 - factors)
        found = probability(float(head.logit(sampled).numpy()[0]))
        assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="negatives of no factor"):
        head_of(None).sampled(outputs, log_rate)


def sample(job: Job, rate: float) -> dict[str, tf.Tensor]:
    """What is kept of 1,000 rows: 50 conversions, 150 clicks, a tenth of 800 others."""
    kinds = [(1.0, 1.0)] * 50 + [(1.0, 0.0)] * 150 + [(0.0, 0.0)] * int(800 * rate)
    batch = random_batch(job, len(kinds))
    rates = np.full(len(kinds), rate, np.float32)
    return dict(batch, labels=tf.constant(kinds), negative_keep_rate=tf.constant(rates))


@pytest.mark.parametrize(
    ("correction", "right"), [("logit_shift", True), ("weights", True), ("none", False)]
)
@pytest.mark.parametrize("multi_task", ["null", "{name: ple, expert: [5], tower: [4]}"])
def test_losses_on_a_sample_are_least_at_the_true_probabilities(
    correction: str, right: bool, multi_task: str
) -> None:
    job = small_job(
        *PRODUCT,
        SAMPLING,
        f"model.tasks.conversion.correction={correction}",
        f"model.multi_task={multi_task}",
    )
    model = built(job)
    true = {"click": 0.2, "conversion": 0.25}
    biases = {}
    for task, head in model.inference.heads.items():
        kernel, biases[task] = head.trainable_variables
        kernel.assign(tf.zeros_like(kernel))
        head.start_at(logit(true[task]))
    batch = sample(job, 0.1)
    assert probability(float(model(batch)["conversion"][0])) == pytest.approx(0.05)
    variables = [bias.value for bias in biases.values()]
    with tf.GradientTape() as tape:
        loss = model.compute_losses(batch)["conversion/bce"]
    gradients = [float(g[0]) for g in tape.gradient(loss, variables)]
    assert (max(map(abs, gradients)) < 1e-6) == right, gradients


def test_the_click_is_corrected_unless_the_job_says_otherwise() -> None:
    job = small_job(*PRODUCT, SAMPLING)
    assert job.correction("conversion") == "logit_shift"
    model = built(job)
    batch = dict(random_batch(job, 24), negative_keep_rate=tf.fill([24], 0.1))
    served = {k: v.numpy().astype(float) for k, v in model(batch).items()}
    z = [
        logit(probability(a - math.log(0.1)) * probability(b))
        for a, b in zip(served["click"], served["conversion_given_click"], strict=True)
    ]
    labels = batch["labels"].numpy()[:, 1].tolist()
    expected = loss_oracle.bce(z, labels, [1.0] * 24)
    value = float(model.compute_losses(batch)["conversion/bce"])
    assert value == pytest.approx(expected, rel=1e-5)


def test_a_chain_multiplies_from_the_first_task_to_the_last() -> None:
    job = small_job(
        *CHAIN,
        SAMPLING,
        "preprocessing.sampling.label=cart",
        "model.tasks.cart.correction=logit_shift",
    )
    assert job.model.factors("purchase") == ["click", "cart", "purchase"]
    assert job.correction("purchase") == "logit_shift"
    model = built(job)
    batch = dict(random_batch(job, 8), negative_keep_rate=tf.fill([8], 0.5))
    served = {k: v.numpy().astype(float) for k, v in model(batch).items()}
    names = {"click", "cart", "cart_given_click", "purchase", "purchase_given_cart"}
    assert set(served) == names
    for row in range(8):
        p, q, s = (
            probability(served[name][row])
            for name in ("click", "cart_given_click", "purchase_given_cart")
        )
        assert probability(served["cart"][row]) == pytest.approx(p * q, rel=1e-5)
        found = probability(served["purchase"][row])
        assert found == pytest.approx(p * q * s, rel=1e-5)
    labels = batch["labels"].numpy()[:, 2].tolist()
    z = [
        logit(probability(cart - math.log(0.5)) * probability(given))
        for cart, given in zip(
            served["cart"], served["purchase_given_cart"], strict=True
        )
    ]
    expected = loss_oracle.bce(z, labels, [1.0] * 8)
    value = float(model.compute_losses(batch)["purchase/bce"])
    assert value == pytest.approx(expected, rel=1e-5)


def test_a_head_starts_at_the_rate_given_the_label_before() -> None:
    positives: dict[str, Any] = {"click": 20, "conversion": 5}
    split = ExampleSplit(
        rows=100,
        positives=positives,
        first_time=0,
        last_time=1,
        sampled=True,
        dropped=300,
        shards=[],
    )
    rates = base_rates(small_job(*PRODUCT, SAMPLING), split)
    assert rates == {"click": 20 / 400, "conversion": 5 / 20}


@pytest.mark.slow
def test_replicas_give_the_loss_of_the_product_of_one(project_root: Path) -> None:
    """Losses of rows that see each other gather all factors of the product."""
    losses = "[{name: combined_pair}, {name: combined_contrastive, alpha: 0.0}]"
    tasks = f"{{click: {{}}, conversion: {{entire_space: click, losses: {losses}}}}}"
    overrides = [
        PRODUCT[0],
        SAMPLING,
        f"model.tasks={tasks}",
        "model.multi_task={name: mmoe, expert: [5], tower: [4]}",
    ]
    run_replicas(project_root, overrides, [5, 12], on=False)
