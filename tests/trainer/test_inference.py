"""Inference models against the same models in NumPy, and what must not change them."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.errors import JobError
from configs.job import Job
from tests.trainer.model_jobs import (
    linear_job,
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from tests.trainer.reference import Reference
from trainer.inference import InferenceModel, build_inference_model

JOBS = {
    "logistic_regression": linear_job(),
    "flat": small_job("model.backbone={name: flat}"),
    "parallel": small_job(),
    "stacked": small_job("model.backbone.structure=stacked"),
    "din": small_job(
        "model.backbone={name: din, attention_hidden: [7, 5], hidden: [8, 6]}"
    ),
}
ALL = pytest.mark.parametrize("name", JOBS)


def built(job: Job) -> InferenceModel:
    model = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    # Biases start at zero, which would hide that one is missing.
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if "bias" in variable.path:
            variable.assign(random.normal(size=variable.shape))
    return model


def as_numpy(batch: dict[str, tf.Tensor]) -> dict[str, Any]:
    return {key: value.numpy() for key, value in batch.items()}


@ALL
def test_logits_are_those_of_the_oracle(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 24)
    logits = model(batch)["click"]
    assert logits.dtype == tf.float32
    reference = Reference(JOBS[name], model)
    expected = [reference.logit(as_numpy(batch), i, name) for i in range(24)]
    np.testing.assert_allclose(logits, expected, rtol=2e-4, atol=2e-5)


@ALL
def test_values_under_padding_change_nothing(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 24)
    expected = model(batch)["click"]
    padded = batch["sequence/history/item"] == -1
    for field in ("topic", "place"):
        key = f"sequence/history/{field}"
        batch[key] = tf.where(padded, tf.fill(padded.shape, np.int64(-1)), batch[key])
    key = "sequence/history/delay"
    batch[key] = tf.where(padded, 123.0, batch[key])
    wider = tf.fill((24, 2), np.int64(-1))
    for key in ("multi_valued/tags", "multi_valued/labels"):
        batch[key] = tf.concat([batch[key], wider], axis=1)
    np.testing.assert_allclose(model(batch)["click"], expected, rtol=1e-6)


@ALL
def test_rows_do_not_see_each_other(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 8)
    expected = model(batch)["click"].numpy()
    part = model({key: value[2:5] for key, value in batch.items()})["click"]
    np.testing.assert_allclose(part, expected[2:5], rtol=1e-5, atol=1e-6)
    empty = model({key: value[:0] for key, value in batch.items()})["click"]
    assert empty.shape == (0,)


@ALL
def test_gradient_reaches_every_trainable_variable(name: str) -> None:
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(batch, training=True)["click"]))
    variables = [v.value for v in model.trainable_variables]
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.any(tf.convert_to_tensor(gradient).numpy() != 0.0), variable.path
        if variable.path.startswith("tables/"):
            assert isinstance(gradient, tf.IndexedSlices)
            padding = tf.convert_to_tensor(gradient)[0]
            assert np.all(padding.numpy() == 0.0)


@ALL
def test_same_job_same_names_and_weights(name: str) -> None:
    keras.layers.Dense(3)  # Moves Keras's counters of names on.
    first, second = (
        build_inference_model(
            JOBS[name], statistics=statistics(), vocabularies=vocabularies()
        )
        for _ in range(2)
    )
    paths = [variable.path for variable in first.variables]
    assert paths == [variable.path for variable in second.variables]
    assert len(set(paths)) == len(paths)
    for one, other in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    drawn = build_inference_model(JOBS[name], vocabularies=vocabularies(), seed=9)
    table = drawn.tables.table_variables[0].numpy()
    assert not np.array_equal(table, first.tables.table_variables[0].numpy())
    assert np.all(table[0] == 0.0)
    assert table[1:].std() == pytest.approx(0.5, rel=0.2)


def test_weights_can_come_from_a_checkpoint_alone() -> None:
    source = built(JOBS["din"])
    sizes = {name: len(values) for name, values in vocabularies().items()}
    assert source.tables.vocabulary_sizes == sizes
    target = build_inference_model(JOBS["din"], vocabulary_sizes=sizes, seed=1)
    for one, other in zip(source.variables, target.variables, strict=True):
        other.assign(one.value)
    batch = random_batch(JOBS["din"], 8)
    np.testing.assert_array_equal(source(batch)["click"], target(batch)["click"])


def test_unknown_vocabularies_are_named() -> None:
    with pytest.raises(JobError, match=r"features\.topic has a vocabulary"):
        build_inference_model(small_job())


def test_din_needs_a_shared_table() -> None:
    overrides = [
        "model.backbone={name: din}",
        "features.history.fields.item={embedding: {buckets: 3}}",
        "features.history.fields.topic={embedding: {buckets: 3}}",
    ]
    with pytest.raises(JobError, match="shares the table"):
        build_inference_model(small_job(*overrides), vocabularies=vocabularies())


def test_empty_vocabulary_maps_everything_to_the_rest() -> None:
    words = vocabularies() | {"topic": np.zeros(0, np.int64)}
    model = build_inference_model(JOBS["parallel"], vocabularies=words)
    rows = model.tables.rows_of("topic", tf.constant([0, 5, 2**63 - 2], tf.int64))
    assert len(set(rows.numpy().tolist())) == 1


def test_dropout_is_off_outside_training() -> None:
    job = small_job("model.backbone.dropout=0.5")
    model, plain = built(job), built(small_job())
    batch = random_batch(job, 8)
    np.testing.assert_array_equal(model(batch)["click"], plain(batch)["click"])
    once = model(batch, training=True)["click"].numpy()
    assert not np.array_equal(once, model(batch, training=True)["click"].numpy())
