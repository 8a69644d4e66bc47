"""Every feature-interaction backbone: against NumPy, padding, gradients, names."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.errors import JobError
from tests.trainer.backbones.interaction_reference import InteractionReference
from tests.trainer.model_jobs import (
    even_job,
    random_batch,
    small_job,
    statistics,
    vocabularies,
)
from trainer.inference import build_inference_model
from trainer.training_model import TrainingModel

DEEP = "hidden: [8, 6]"
PARTS = (
    "[[user_id, age, hits, device], [article, topic, tags, labels, picture, history],"
    " [price, score, hour]]"
)
BACKBONES = {
    "fm": "{name: fm}",
    "fwfm": "{name: fwfm}",
    "gwpfm": "{name: gwpfm}",
    "gwpfm_parts": f"{{name: gwpfm, parts: {PARTS}}}",
    "dnn": f"{{name: dnn, {DEEP}}}",
    "dnn_numbers": f"{{name: dnn, {DEEP}, number_dim: 3}}",
    "wide_deep": f"{{name: wide_deep, {DEEP}}}",
    "deepfm": f"{{name: deepfm, {DEEP}}}",
    "ipnn": f"{{name: ipnn, {DEEP}}}",
    "low_rank": f"{{name: dcn_v2, {DEEP}, cross_layers: 2, rank: 3}}",
    "mixture": f"{{name: dcn_v2, {DEEP}, cross_layers: 2, rank: 3, experts: 2,"
    " structure: stacked, number_dim: 2}",
    "masknet": f"{{name: masknet, {DEEP}, reduction: 0.5}}",
    "parallel_masknet": f"{{name: masknet, {DEEP}, structure: parallel, blocks: 2,"
    " block_width: 5}",
}
JOBS = {
    name: even_job(text, 6 if name == "gwpfm_parts" else 4)
    for name, text in BACKBONES.items()
}
# These take embeddings of different widths.
JOBS |= {
    f"{name}_uneven": small_job(f"model.backbone={BACKBONES[name]}")
    for name in ("dnn", "wide_deep", "mixture")
}
ALL = pytest.mark.parametrize("name", JOBS)


def built(job, head="single_logit"):
    model = build_inference_model(
        job.model_copy(), statistics=statistics(), vocabularies=vocabularies()
    )
    # What starts at zero or one would hide that it is missing.
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.path.split("/")[-1] in ("bias", "weights", "gamma", "beta"):
            variable.assign(variable.value + random.normal(size=variable.shape))
        elif "norm/" in variable.path or "kernel" in variable.path:
            variable.assign_add(0.1 * random.normal(size=variable.shape))
    return model


def numpy_of(batch):
    return {key: value.numpy() for key, value in batch.items()}


@ALL
def test_logits_are_those_of_the_oracle(name):
    job = JOBS[name]
    model = built(job)
    batch = random_batch(job, 12)
    logits = model(batch)["click"]
    assert logits.dtype == tf.float32
    reference = InteractionReference(job, model)
    rows = numpy_of(batch)
    expected = [
        reference.head(reference.hidden(rows, i, job.model.backbone)) for i in range(12)
    ]
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=2e-4)


@ALL
def test_padding_and_other_rows_change_nothing(name):
    job = JOBS[name]
    model = built(job)
    batch = random_batch(job, 8)
    expected = model(batch)["click"].numpy()
    padded = batch["sequence/history/item"] == -1
    for field in ("topic", "place"):
        key = f"sequence/history/{field}"
        batch[key] = tf.where(padded, tf.fill(padded.shape, np.int64(-1)), batch[key])
    key = "sequence/history/delay"
    batch[key] = tf.where(padded, 123.0, batch[key])
    for key in ("multi_valued/tags", "multi_valued/labels"):
        wider = tf.fill((8, 2), np.int64(-1))
        batch[key] = tf.concat([batch[key], wider], axis=1)
    found = model({key: value[2:5] for key, value in batch.items()})["click"]
    np.testing.assert_allclose(found, expected[2:5], rtol=1e-4, atol=1e-5)
    empty = model({key: value[:0] for key, value in batch.items()})["click"]
    assert empty.shape == (0,)


@ALL
def test_gradient_reaches_every_trainable_variable(name):
    model = built(JOBS[name])
    batch = random_batch(JOBS[name], 64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(batch, training=True)["click"]))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        assert gradient is not None, variable.path
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.any(values != 0.0), variable.path
        if variable.path.startswith("tables/"):
            assert isinstance(gradient, tf.IndexedSlices)
            assert np.all(values[0] == 0.0)
        elif name.startswith("gwpfm") and "pairs" in variable.path:
            assert np.all(values != 0.0)


@ALL
def test_same_job_same_names_and_weights(name):
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


@pytest.mark.parametrize("name", ["fm", "fwfm", "gwpfm", "deepfm", "ipnn", "masknet"])
def test_embeddings_of_different_widths_are_refused(name):
    with pytest.raises(JobError, match=r"must have one width, got .*'topic': 3"):
        small_job(f"model.backbone={BACKBONES[name]}")


def test_what_a_backbone_cannot_use_is_refused():
    with pytest.raises(JobError, match=r"multiple of that, got \{3\}"):
        even_job("{name: gwpfm}", 3)
    with pytest.raises(JobError, match="expected each feature once"):
        even_job("{name: gwpfm, parts: [[age]]}")
    with pytest.raises(JobError, match="leaves nothing of one number"):
        even_job("{name: masknet}", 1)
    with pytest.raises(JobError, match="give 'rank'"):
        even_job("{name: dcn_v2, experts: 2}")


@pytest.mark.parametrize("name", ["wide_deep", "deepfm"])
@pytest.mark.parametrize("head", ["single_logit", "two_logits"])
def test_a_score_enters_the_fresh_logit_as_it_is(name, head):
    job = even_job(BACKBONES[name], 4, f"model.tasks.click.head={head}")
    model = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    hidden = model.hidden(model.embed(random_batch(job, 4)))["click"]
    without = tf.concat([tf.zeros((4, 1)), hidden[:, 1:]], axis=1)
    logits, others = (
        model.heads["click"].logit(model.outputs({"click": h})["click"])
        for h in (hidden, without)
    )
    np.testing.assert_allclose(logits - others, hidden[:, 0], rtol=1e-4, atol=1e-5)


FORMS = ["deepfm", "wide_deep", "ipnn", "mixture", "low_rank", "masknet", "dnn"]


def losses_and_gradients(name, *overrides):
    job = even_job(BACKBONES[name], 4, *overrides)
    inference = build_inference_model(
        job, statistics=statistics(), vocabularies=vocabularies()
    )
    model = TrainingModel(inference, job)
    variables = [v.value for v in [*model.table_variables, *model.dense_variables]]
    with tf.GradientTape() as tape:
        loss = model.compute_losses(random_batch(job, 64), training=True)["loss"]
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
    return float(loss), np.concatenate([g.numpy().ravel() for g in gradients])


@pytest.mark.parametrize("name", FORMS)
def test_lower_precision_and_compilation_change_next_to_nothing(name):
    loss, gradients = losses_and_gradients(name)
    rounded, others = losses_and_gradients(name, "training.precision=bfloat16")
    assert rounded != loss
    assert rounded == pytest.approx(loss, rel=0.05)
    assert others.dtype == np.float32
    assert np.linalg.norm(others - gradients) < 0.2 * np.linalg.norm(gradients)
    compiled, others = losses_and_gradients(name, "training.jit_compile=true")
    assert compiled == pytest.approx(loss, rel=1e-4)
    assert np.linalg.norm(others - gradients) < 1e-3 * np.linalg.norm(gradients)
