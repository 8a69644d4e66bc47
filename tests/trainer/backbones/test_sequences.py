"""The backbones over behaviour sequences: against NumPy, padding, order, precision."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.backbones import BackboneSection
from configs.errors import JobError
from configs.job import Job
from tests.oracles import networks, sequences
from tests.trainer.model_jobs import (
    even_job,
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from tests.trainer.reference import Array, Reference
from trainer.backbones.registry import BACKBONES
from trainer.inference import InferenceModel, build_inference_model
from trainer.layers.paths import Windows
from trainer.training_model import TrainingModel

DEEP = "hidden: [8, 6]"
PATHS = "attention_hidden: [6, 5], router_hidden: 7"
FORMS = {
    "din": f"{{name: din, {DEEP}, attention_hidden: [7, 5]}}",
    "dien": f"{{name: dien, {DEEP}, units: 5, auxiliary_hidden: [6]}}",
    "dbpman": f"{{name: dbpman, {DEEP}, {PATHS}, path_length: 3, stride: 1, kept: 2}}",
    "few_paths": f"{{name: dbpman, {DEEP}, {PATHS}, path_length: 2, stride: 2,"
    " max_paths: 1, kept: 5}",
    "tin": f"{{name: tin, {DEEP}}}",
    "self_attention": f"{{name: self_attention, {DEEP}, width: 5}}",
}
JOBS = {name: small_job(f"model.backbone={text}") for name, text in FORMS.items()}
ALL = pytest.mark.parametrize("name", JOBS)

D, SHARED = 10, 7
"""Width of a behaviour of the small job, and of its fields that the item has too."""


def built(job: Job) -> InferenceModel:
    model = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    # What starts at zero would hide that it is missing.
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if "bias" in variable.path:
            variable.assign(random.normal(size=variable.shape))
    return model


class SequenceReference(Reference):
    """Gives the logit of each backbone over sequences."""

    def logit(self, batch: dict[str, Any], i: int, backbone: Any) -> float:
        row = self.row(batch, i)
        x = [*row["groups"].values(), row["numbers"], self.summary(row, backbone)]
        hidden = networks.mlp(np.concatenate(x), self.weights, "backbone_hidden", 2)
        return float(networks.dense(hidden, self.weights, "head_click_logit")[0])

    def summary(self, row: dict[str, Any], config: Any) -> Array:
        behaviours = row["behaviours"][row["mask"]]
        target = np.concatenate([row["article"], row["topic"]])
        if config.name == "din":
            weights = networks.target_weights(
                behaviours[:, : len(target)],
                target,
                np.ones(len(behaviours), bool),
                self.weights,
                "backbone_attention_history",
            )
            return np.asarray(weights @ behaviours)
        if config.name == "dien":
            name = "backbone_interest_history"
            return sequences.dien(behaviours, target, self.weights, name)
        if config.name == "tin":
            name = "backbone_interest_history"
            return sequences.tin(behaviours, target, self.weights, name)
        if config.name == "dbpman":
            name = "backbone_paths_history"
            return sequences.dbpman(behaviours, target, self.weights, name, config)
        name = "backbone_attention_history"
        return sequences.attended_mean(behaviours, self.weights, name)


def lengths(batch: dict[str, tf.Tensor]) -> Any:
    return np.sum(batch["sequence/history/item"].numpy() != -1, axis=1)


@ALL
def test_logits_are_those_of_the_oracle(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 48)
    assert set(lengths(batch)) == {0, 1, 2, 3, 4, 5}
    logits = model(batch)["click"]
    assert logits.dtype == tf.float32
    reference = SequenceReference(JOBS[name], model)
    rows = {key: value.numpy() for key, value in batch.items()}
    config = JOBS[name].model.backbone
    expected = [reference.logit(rows, i, config) for i in range(48)]
    np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=5e-5)


@ALL
def test_padding_and_other_rows_change_nothing(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 12)
    expected = model(batch)["click"].numpy()
    padded = batch["sequence/history/item"] == -1
    for field in ("topic", "place"):
        key = f"sequence/history/{field}"
        batch[key] = tf.where(padded, tf.fill(padded.shape, np.int64(-1)), batch[key])
    key = "sequence/history/delay"
    batch[key] = tf.where(padded, 123.0, batch[key])
    found = model({key: value[2:7] for key, value in batch.items()})["click"]
    np.testing.assert_allclose(found, expected[2:7], rtol=1e-4, atol=1e-5)
    # Rows may come with more padding than the job has positions.
    longer = dict(batch)
    for key, value in batch.items():
        if key.startswith("sequence/"):
            filler = tf.fill((12, 3), tf.constant(-1, value.dtype))
            longer[key] = tf.concat([value, filler], axis=1)
    np.testing.assert_allclose(model(longer)["click"], expected, rtol=1e-4, atol=1e-5)
    empty = model({key: value[:0] for key, value in batch.items()})["click"]
    assert empty.shape == (0,)


def rearranged(batch: dict[str, tf.Tensor], order: Any) -> dict[str, tf.Tensor]:
    """Returns the batch with `order(history)` for each row's behaviours."""
    counts, most = lengths(batch), batch["sequence/history/item"].shape[1]
    places = [order(list(range(n))) for n in counts]
    places = [p + list(range(len(p), most)) for p in places]
    return {
        key: tf.gather(value, places, axis=1, batch_dims=1)
        if key.startswith("sequence/")
        else value
        for key, value in batch.items()
    }


@pytest.mark.parametrize("name", ["dien", "dbpman", "tin"])
def test_the_order_of_behaviours_matters(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 24)
    other = rearranged(batch, lambda history: history[::-1])
    difference = model(other)["click"] - model(batch)["click"]
    changed, several = np.abs(difference.numpy()) > 1e-5, lengths(batch) > 1
    assert not np.any(changed & ~several)
    # Some of these hold one item only.
    assert np.mean(changed[several]) > 0.7


POOLED = [
    name
    for name, layer in BACKBONES.items()
    if name not in ("din", "dien", "dbpman", "tin", "self_attention", "experts")
]


@pytest.mark.parametrize("name", POOLED)
def test_without_a_layer_for_sequences_their_mean_counts(name: str) -> None:
    job = even_job(f"{{name: {name}}}", 1 if name == "logistic_regression" else 4)
    assert not job.model.backbone.reads_sequences
    model = built(job)
    batch = random_batch(job, 12)
    expected = model(batch)["click"].numpy()
    assert np.all(np.isfinite(expected))
    other = rearranged(batch, lambda history: history[::-1])
    np.testing.assert_allclose(model(other)["click"], expected, rtol=1e-4, atol=1e-5)
    # Every behaviour twice, in a longer sequence.
    counts = lengths(batch)
    places = [[*range(n), *range(n), *[4] * (10 - 2 * n)] for n in counts]
    twice = dict(batch)
    for key, value in batch.items():
        if key.startswith("sequence/"):
            values = tf.gather(value, places, axis=1, batch_dims=1)
            there = np.arange(10) < 2 * counts[:, None]
            filler = tf.fill(values.shape, tf.constant(-1, value.dtype))
            twice[key] = tf.where(there, values, filler)
    np.testing.assert_allclose(model(twice)["click"], expected, rtol=1e-4, atol=1e-5)


def mlp(inputs: int, *widths: int) -> int:
    pairs = zip([inputs, *widths[:-1]], widths, strict=True)
    return sum(n * m + m for n, m in pairs)


def unit(width: int, *hidden: int) -> int:
    """DIN's activation unit: matrices for h, t and h * t, one bias."""
    return 3 * width * hidden[0] + hidden[0] + mlp(*hidden, 1)


def gru(inputs: int, units: int) -> int:
    return 3 * units * (inputs + units + 1)


def router(length: int) -> int:
    return mlp(length * D, 7, length)


OTHERS = (4 + 3) + (4 + 3 + 4) + (4 + 4 + 4) + 4 + 3
"""Groups, numbers and the picture of the small job."""

PATH_UNITS = 3 * unit(SHARED, 6, 5) + unit(D, 6, 5)

COUNTS = {
    "din": (unit(SHARED, 7, 5), D),
    "dien": (gru(D, 5) + SHARED * 5 + gru(5, 5), 5),
    "dbpman": (PATH_UNITS + 2 * router(3), 4 * D),
    "few_paths": (PATH_UNITS + 2 * router(2), 4 * D),
    "tin": ((5 + 1) * SHARED, D + SHARED),
    "self_attention": (3 * D * 5, 5),
}
"""Weights of the layers over the sequence, and the width of what they give."""


@ALL
def test_the_number_of_weights_is_the_closed_form(name: str) -> None:
    model = built(JOBS[name])
    own, width = COUNTS[name]
    dense = sum(
        math.prod(v.shape)
        for v in model.trainable_variables
        if not v.path.startswith("tables/")
    )
    assert dense == own + mlp(OTHERS + width, 8, 6) + mlp(6, 1)


def losses_and_gradients(name: str, *overrides: str) -> tuple[float, Array]:
    job = small_job(f"model.backbone={FORMS[name]}", *overrides)
    model = TrainingModel(built(job), job)
    variables = [v.value for v in [*model.table_variables, *model.dense_variables]]
    batch = random_batch(job, 64)

    @tf.function(autograph=False)
    def differentiate() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch, training=True)["loss"]
        return loss, [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]

    loss, gradients = differentiate()
    return float(loss), np.concatenate([g.numpy().ravel() for g in gradients])


@pytest.mark.parametrize("name", ["dien", "dbpman", "tin", "self_attention"])
def test_lower_precision_changes_next_to_nothing(name: str) -> None:
    loss, gradients = losses_and_gradients(name)
    rounded, others = losses_and_gradients(name, "training.precision=bfloat16")
    assert rounded != loss
    assert rounded == pytest.approx(loss, rel=0.05)
    assert others.dtype == np.float32
    assert np.linalg.norm(others - gradients) < 0.2 * np.linalg.norm(gradients)


def test_the_recurrences_of_dien_are_not_compiled() -> None:
    with pytest.raises(JobError, match="recurrences cannot be compiled"):
        small_job("model.backbone={name: dien}", "training.jit_compile=true")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dbpman", "tin", "self_attention"])
def test_compilation_changes_next_to_nothing(name: str) -> None:
    loss, gradients = losses_and_gradients(name)
    compiled, others = losses_and_gradients(name, "training.jit_compile=true")
    assert compiled == pytest.approx(loss, rel=1e-4)
    assert np.linalg.norm(others - gradients) < 1e-3 * np.linalg.norm(gradients)


@pytest.mark.parametrize("name", ["din", "dien", "dbpman", "tin"])
def test_the_item_must_be_met_somewhere(name: str) -> None:
    job = small_job(
        f"model.backbone={{name: {name}}}",
        "features.history.fields.item={embedding: {buckets: 3}}",
        "features.history.fields.topic={embedding: {buckets: 3}}",
    )
    with pytest.raises(JobError, match=rf"{name} attends.*shares the table"):
        build_inference_model(job, vocabularies=vocabularies())


@pytest.mark.parametrize("name", ["din", "dien", "dbpman", "tin", "self_attention"])
def test_behaviours_are_needed(name: str) -> None:
    section = type(JOBS[name].model.backbone)
    assert issubclass(section, BackboneSection)
    assert section.reads_sequences
    with pytest.raises(JobError, match=f"{name} needs behaviours"):
        small_job(
            f"model.backbone={{name: {name}}}", "features.history={kind: numeric}"
        )


@pytest.mark.parametrize(
    ("longest", "expected"), [(1, 1), (2, 1), (6, 1), (7, 2), (100, 18), (50, 10)]
)
def test_paths_are_as_many_as_fit(longest: int, expected: int) -> None:
    windows = Windows.within(longest, length=10, stride=5, most=18)
    assert windows.count == expected
    slots = np.arange(windows.slots)[np.newaxis]
    paths = windows.paths(tf.constant(slots)).numpy()[0]
    following = windows.following(tf.constant(slots)).numpy()[0]
    assert paths.shape == (expected, 10)
    np.testing.assert_array_equal(paths[:, -1] + 1, following)
    assert following[0] == windows.slots - 1
    assert paths[-1, 0] == 0
    current = windows.current(tf.constant(slots)).numpy()[0]
    np.testing.assert_array_equal(current, slots[0, -10:])
