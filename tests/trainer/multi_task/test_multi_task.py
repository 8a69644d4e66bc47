"""Shared-Bottom, MMoE and PLE against NumPy, with every head and the losses' views."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.errors import JobError
from configs.job import Job
from tests.oracles import losses as loss_oracle
from tests.oracles import multi_task as oracle
from tests.trainer.model_jobs import (
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.inference import InferenceModel, build_inference_model
from trainer.multi_task.registry import MULTI_TASK
from trainer.training_model import TrainingModel
from trainer.variables import named_variables

TASKS = ("click", "conversion")
BOTH = "model.tasks={click: {}, conversion: {}}"
AFTER = "labels.conversion.after=click"
ENTIRE = "model.tasks={click: {}, conversion: {entire_space: click}}"

SECTIONS = {
    "shared_bottom": "{name: shared_bottom, tower: [7, 5]}",
    "mmoe": "{name: mmoe, experts: 3, expert: [6, 4], tower: [7, 5]}",
    "mmoe_without_towers": "{name: mmoe, experts: 2, expert: [6], tower: []}",
    "cgc": "{name: ple, layers: 1, shared_experts: 1, task_experts: 2, expert: [4],"
    " tower: [5]}",
    "ple": "{name: ple, layers: 3, shared_experts: 2, task_experts: 1, expert: [6, 4],"
    " tower: [5]}",
}
ALL = pytest.mark.parametrize("name", SECTIONS)


def job_of(name: str, *overrides: str) -> Job:
    return small_job(f"model.multi_task={SECTIONS[name]}", BOTH, *overrides)


def built(job: Job) -> InferenceModel:
    model = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if "bias" in variable.path:  # Zeros would hide that one is missing.
            variable.assign(random.normal(size=variable.shape))
    return model


def expected_vectors(name: str, x: Any, weights: Any) -> dict[str, Any]:
    options: dict[str, dict[str, int]] = {
        "shared_bottom": {"tower": 2},
        "mmoe": {"experts": 3, "expert": 2, "tower": 2},
        "mmoe_without_towers": {"experts": 2, "expert": 1, "tower": 0},
        "cgc": {
            "layers": 1,
            "shared_experts": 1,
            "task_experts": 2,
            "expert": 1,
            "tower": 1,
        },
        "ple": {
            "layers": 3,
            "shared_experts": 2,
            "task_experts": 1,
            "expert": 2,
            "tower": 1,
        },
    }
    functions = {"shared_bottom": oracle.shared_bottom, "cgc": oracle.ple}
    function: Any = functions.get(name) or getattr(oracle, name.partition("_")[0])
    vectors: dict[str, Any] = function(x, weights, TASKS, **options[name])
    return vectors


def test_every_way_has_a_row_in_this_table() -> None:
    named = {
        text.partition("name: ")[2].partition(",")[0] for text in SECTIONS.values()
    }
    assert named == set(MULTI_TASK)


@ALL
def test_vectors_are_those_of_the_oracle(name: str) -> None:
    model = built(job_of(name))
    groups = model.embed(random_batch(job_of(name), 12))
    hidden = model.backbone(groups).numpy().astype(np.float64)
    weights = {v.path: np.asarray(v.value) for v in model.variables}
    found = model.hidden(groups)
    logits = {t: x.numpy() for t, x in model.outputs(found).items()}
    assert set(found) == set(TASKS)
    for row, x in enumerate(hidden):
        for task, vector in expected_vectors(name, x, weights).items():
            np.testing.assert_allclose(found[task][row], vector, rtol=1e-4, atol=1e-5)
            head = oracle.dense(vector, weights, f"head_{task}_logit")[0]
            assert logits[task][row] == pytest.approx(head, rel=1e-4, abs=1e-5)


@ALL
def test_gradients_reach_every_variable(name: str) -> None:
    job = job_of(name, AFTER, ENTIRE)
    model = TrainingModel(built(job), job)
    with tf.GradientTape() as tape:
        loss = model.compute_losses(random_batch(job, 64))["loss"]
    variables = [v.value for v in model.trainable_variables]
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.any(tf.convert_to_tensor(gradient).numpy() != 0.0), variable.path


@ALL
def test_a_task_alone_moves_no_layer_of_the_other(name: str) -> None:
    model = built(job_of(name))
    batch = random_batch(job_of(name), 32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(batch)["click"]))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        if "tower_conversion" in variable.path or "head_conversion" in variable.path:
            assert gradient is None, variable.path
        if "multi_task_tower_click" in variable.path:
            assert gradient is not None, variable.path


def layers(*widths: int) -> int:
    """Weights and biases of dense layers."""
    return sum((a + 1) * b for a, b in pairwise(widths))


def count_of(name: str, width: int) -> int:
    tasks = len(TASKS)
    if name == "shared_bottom":
        return tasks * layers(width, 7, 5)
    if name == "mmoe":
        return 3 * layers(width, 6, 4) + tasks * (width * 3 + layers(4, 7, 5))
    if name == "mmoe_without_towers":
        return 2 * layers(width, 6) + tasks * width * 2
    if name == "cgc":
        experts = (tasks * 2 + 1) * layers(width, 4)
        return experts + tasks * (width * 3 + layers(4, 5))
    total = tasks * layers(4, 5)
    for layer, entering in enumerate((width, 4, 4)):
        total += (tasks * 1 + 2) * layers(entering, 6, 4) + tasks * entering * 3
        total += entering * (tasks * 1 + 2) if layer < 2 else 0
    return total


@ALL
def test_parameters_are_as_many_as_the_closed_form_says(name: str) -> None:
    model = built(job_of(name))
    _, multi_task = model.hidden_layers
    found = sum(int(np.prod(v.shape)) for v in multi_task.trainable_variables)
    assert found == count_of(name, model.backbone.width)


@ALL
def test_weights_are_restored_by_names_that_depend_on_the_job_alone(name: str) -> None:
    job = job_of(name, AFTER, ENTIRE)
    source, batch = built(job), random_batch(job, 8)
    sizes = {table: len(values) for table, values in vocabularies().items()}
    target = build_inference_model(job, vocabulary_sizes=sizes, seed=9)
    saved, fresh = named_variables(source), named_variables(target)
    assert list(saved) == list(fresh)
    assert [v.path for v in source.variables] == [v.path for v in target.variables]
    assert len({v.path for v in source.variables}) == len(source.variables)
    for key, variable in fresh.items():
        variable.assign(saved[key].value)
    for task, logits in source(batch).items():
        np.testing.assert_array_equal(target(batch)[task], logits)


@ALL
@pytest.mark.parametrize("backbone", ["{name: din}", "{name: flat}"])
@pytest.mark.parametrize("head", ["single_logit", "two_logits"])
def test_every_backbone_and_head_kind(name: str, backbone: str, head: str) -> None:
    tasks = f"model.tasks={{click: {{head: {head}}}, conversion: {{given: click}}}}"
    job = job_of(name, f"model.backbone={backbone}", tasks)
    model = built(job)
    logits = model(random_batch(job, 6))
    assert {t: tuple(x.shape) for t, x in logits.items()} == dict.fromkeys(TASKS, (6,))
    empty = {key: x[:0] for key, x in random_batch(job, 6).items()}
    assert model(empty)["click"].shape == (0,)


@ALL
def test_bfloat16_and_compilation_give_about_the_same(name: str) -> None:
    flat = "model.backbone={name: flat}"  # so that all rounding is in the layers here
    batch = random_batch(job_of(name), 48)
    values = []
    for options in ("{}", "{precision: bfloat16, jit_compile: true}"):
        job = job_of(name, flat, f"training={options}")
        values.append(TrainingModel(built(job), job).compute_losses(batch)["loss"])
    assert values[1].dtype == tf.float32
    exact, rounded = (float(value) for value in values)
    assert rounded == pytest.approx(exact, rel=0.05)
    assert rounded != exact


def test_dropout_acts_in_training_alone() -> None:
    section = "{name: ple, expert: [6], tower: [5], dropout: 0.5}"
    job = small_job(f"model.multi_task={section}", BOTH)
    model, batch = built(job), random_batch(job, 16)
    served = model(batch)["click"].numpy()
    np.testing.assert_array_equal(served, model(batch)["click"].numpy())
    assert not np.array_equal(served, model(batch, training=True)["click"].numpy())


def test_pwiser_and_the_contrastive_loss_see_their_own_task() -> None:
    click = (
        "[{name: pwiser, conversion: conversion, strength: 2.0},"
        " {name: combined_contrastive, alpha: 0.0, weight: 0.5}]"
    )
    job = job_of(
        "mmoe", f"model.tasks={{click: {{losses: {click}}}, conversion: {{}}}}"
    )
    model, batch = TrainingModel(built(job), job), random_batch(job, 24)
    values = {k: float(v) for k, v in model.compute_losses(batch).items()}
    hidden = model.inference.hidden(model.inference.embed(batch))
    z = model.inference(batch)["click"].numpy().astype(np.float64).tolist()
    labels = batch["labels"].numpy().astype(np.float64)
    ones = [1.0] * 24
    expected = loss_oracle.pwiser(
        z,
        labels[:, 0].tolist(),
        ones,
        None,
        strength=2.0,
        conversions=labels[:, 1].tolist(),
    )
    assert values["click/pwiser"] == pytest.approx(expected, rel=2e-5)
    contrastive = loss_oracle.combined_contrastive(
        z,
        labels[:, 0].tolist(),
        ones,
        None,
        0.0,
        hidden=hidden["click"].numpy().astype(np.float64).tolist(),
    )
    assert values["click/combined_contrastive"] == pytest.approx(contrastive, rel=2e-5)
    assert values["loss"] == pytest.approx(
        values["click/pwiser"] + 0.5 * contrastive + values["conversion/bce"], rel=2e-5
    )


def test_without_the_section_heads_share_the_hidden_vector() -> None:
    job = small_job(BOTH)
    model, batch = built(job), random_batch(job, 4)
    groups = model.embed(batch)
    hidden = model.hidden(groups)
    for task in TASKS:
        np.testing.assert_array_equal(hidden[task], model.backbone(groups))
    assert not [v for v in model.variables if "multi_task" in v.path]


def test_a_score_is_nothing_to_build_on() -> None:
    with pytest.raises(JobError, match="gives one score and no hidden vector"):
        small_job(
            "model.multi_task={name: shared_bottom}",
            "model.backbone={name: logistic_regression}",
        )
