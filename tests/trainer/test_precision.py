"""Mixed precision is of the backbone, in training, and of nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.model_jobs import random_batch, small_job, statistics, vocabularies
from trainer.inference import build_inference_model
from trainer.precision import computing_in
from trainer.training_model import TrainingModel


def build(precision, *overrides):
    job = small_job(f"training.precision={precision}", *overrides)
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    return job, inference, TrainingModel(inference, job)


def losses_and_gradients(job, model):
    batch = random_batch(job, 64)
    variables = [*model.table_variables, *model.dense_variables]
    with tf.GradientTape() as tape:
        losses = model.compute_losses(batch, training=True)
    gradients = tape.gradient(losses["loss"], [v.value for v in variables])
    dense = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    return losses, dense


BACKBONES = [
    "{name: dcn_v2, hidden: [128, 64], cross_layers: 2}",
    "{name: dcn_v2, hidden: [128, 64], cross_layers: 1, structure: stacked}",
    "{name: din, hidden: [128, 64]}",
]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bfloat16_is_float32_but_for_rounding(backbone):
    found = {}
    for precision in ("float32", "bfloat16"):
        job, _, model = build(precision, f"model.backbone={backbone}")
        found[precision] = losses_and_gradients(job, model)
    exact, rounded = found["float32"], found["bfloat16"]
    for name, value in exact[0].items():
        assert rounded[0][name].dtype == tf.float32
        assert float(rounded[0][name]) == pytest.approx(float(value), rel=0.02)
        assert float(rounded[0][name]) != float(value)
    one, other = (
        tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], 0)
        for gradients in (exact[1], rounded[1])
    )
    assert other.dtype == tf.float32
    # Rounding may turn a unit on or off, so single weights may differ more.
    assert float(tf.norm(one - other)) < 0.1 * float(tf.norm(one))


def test_what_is_served_computes_in_float32():
    job, inference, model = build("bfloat16")
    _, exact, _ = build("float32")
    model.compute_losses(random_batch(job, 8), training=True)
    batch = random_batch(job, 8)
    np.testing.assert_array_equal(
        inference(batch)["click"].numpy(), exact(batch)["click"].numpy()
    )
    for layer in inference._flatten_layers():
        assert layer.compute_dtype == "float32"
    for variable in model.variables:
        assert variable.dtype in ("float32", "int64")


def test_the_policy_comes_back_after_an_error():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    with pytest.raises(RuntimeError), computing_in("bfloat16", layer):
        assert layer(tf.ones([1, 3])).dtype == tf.bfloat16
        raise RuntimeError
    assert layer(tf.ones([1, 3])).dtype == tf.float32
    with computing_in("float32", layer):
        assert layer(tf.ones([1, 3])).dtype == tf.float32


def test_the_dense_part_can_be_compiled():
    job, _, model = build("float32")
    exact, exact_gradients = losses_and_gradients(job, model)
    job, _, model = build("float32", "training.jit_compile=true")
    compiled, gradients = losses_and_gradients(job, model)
    assert float(compiled["loss"]) == pytest.approx(float(exact["loss"]), rel=1e-5)
    for one, other in zip(exact_gradients, gradients, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-6)
