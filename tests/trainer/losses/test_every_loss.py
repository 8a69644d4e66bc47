"""What every loss has to fulfil: one test for a property, over all of `CASES`."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.losses.cases import (
    CASES,
    Batch,
    random_batch,
    result,
    result_tensors,
)
from trainer.losses import LOSSES
from trainer.losses.base import mean_loss

ALL = pytest.mark.parametrize("name", CASES)
# Where a variant hardly tells more than its loss with the default arguments.
VARIANTS_SLOW = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if " " in name else name
        for name in CASES
    ],
)
DEFAULTS = [name for name in CASES if " " not in name]
# Tiles of pairs depend on the labels, which XLA refuses.
TILED = ("ranknet", "combined_pair", "combined_contrastive")
RELATIVE = 3e-6


def close(value: float, expected: float) -> bool:
    return value == pytest.approx(expected, rel=RELATIVE, abs=1e-7)


def same_gradients(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, slopes in expected.items():
        np.testing.assert_allclose(found[name], slopes, rtol=2e-5, atol=1e-7)


def finite(gradients: dict[str, Any]) -> bool:
    return all(np.isfinite(slopes).all() for slopes in gradients.values())


def test_every_loss_of_a_job_is_here() -> None:
    assert {name.split()[0] for name in CASES} == set(LOSSES)


@ALL
@pytest.mark.parametrize("contexts", [False, True])
@pytest.mark.parametrize("weights", [False, True])
def test_value_is_the_double_loop(name: str, weights: bool, contexts: bool) -> None:
    case = CASES[name]
    arguments: dict[str, Any] = {} if weights else {"weights": None}
    if not contexts:
        arguments["contexts"] = None
    batch = random_batch(case.loss, count=17)
    value, _ = result(case.loss, batch, **arguments)
    assert close(value, case.expected(batch, **arguments))


@VARIANTS_SLOW
@pytest.mark.parametrize("contexts", [False, True])
def test_gradient_is_the_central_difference(name: str, contexts: bool) -> None:
    case = CASES[name]
    batch = random_batch(case.loss, count=9)
    arguments = {} if contexts else {"contexts": None}
    _, gradients = result(case.loss, batch, **arguments)
    step = 1e-5
    for field, slopes in gradients.items():
        inputs = getattr(batch, field).astype(np.float64)
        for i in np.ndindex(*inputs.shape):
            sides = []
            for sign in (1.0, -1.0):
                moved = inputs.copy()
                moved[i] += sign * step
                sides.append(
                    case.expected(batch._replace(**{field: moved}), **arguments)
                )
            expected = (sides[0] - sides[1]) / (2.0 * step)
            assert slopes[i] == pytest.approx(expected, rel=1e-4, abs=3e-7)


@VARIANTS_SLOW
@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("count", [1, 6])
def test_batches_of_one_label(name: str, label: float, count: int) -> None:
    case = CASES[name]
    batch = random_batch(case.loss, count=count)
    batch = batch._replace(labels=np.full(count, label, np.float32))
    for conversions in {0.0, label} if "conversions" in case.loss.extras else {0.0}:
        batch = batch._replace(conversions=np.full(count, conversions, np.float32))
        value, gradients = result(case.loss, batch)
        assert close(value, case.expected(batch))
        assert finite(gradients)


@VARIANTS_SLOW
def test_nothing_left_is_zero(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    nothing = (
        {"mask": np.zeros(len(batch.labels), bool)},
        {"weights": np.zeros_like(batch.weights)},
    )
    for arguments in nothing:
        value, gradients = result(case.loss, batch, **arguments)
        assert value == 0.0
        assert not any(np.any(slopes) for slopes in gradients.values())
    for contexts in (None, batch.contexts[:0]):
        value, gradients = result(case.loss, batch.rows(slice(0)), contexts=contexts)
        assert value == 0.0 and finite(gradients)


@ALL
def test_rows_without_weight_are_no_partners(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss, count=15)
    batch.weights[[0, 1, 2, 5, 9, 13]] = 0.0
    value, gradients = result(case.loss, batch)
    assert close(value, case.expected(batch))
    for slopes in gradients.values():
        assert not np.any(slopes[batch.weights == 0.0])


@VARIANTS_SLOW
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_weights(name: str, scale: float) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    batch = batch._replace(weights=batch.weights * np.float32(scale))
    value, gradients = result(case.loss, batch)
    assert close(value / max(scale, 1.0), case.expected(batch) / max(scale, 1.0))
    assert finite(gradients)


@VARIANTS_SLOW
@pytest.mark.parametrize("weights", [False, True])
def test_large_logits(name: str, weights: bool) -> None:
    case = CASES[name]
    signs = np.array([1.0, -1.0, 1.0, -1.0, 0.0, 1.0, -1.0], np.float32)
    batch = random_batch(case.loss, count=7)
    logits = 1e4 * (np.stack([-signs, signs], 1) if case.loss.two_logits else signs)
    batch = batch._replace(logits=logits, hidden=1e4 * batch.hidden)
    batch.hidden[0] = 0.0
    batch.labels[:2] = 0.0, 1.0
    arguments = {} if weights else {"weights": None}
    value, gradients = result(case.loss, batch, **arguments)
    # The similarities of vectors are of the size 1 / temperature.
    size = 1e-6 if "hidden" in case.loss.extras else 0.0
    assert value == pytest.approx(case.expected(batch, **arguments), rel=1e-5, abs=size)
    assert finite(gradients)
    if case.expected_pointwise(batch) > 0.0 and not case.loss.two_logits:
        assert gradients["logits"][0] > 0.0 > gradients["logits"][1]


@VARIANTS_SLOW
def test_the_end_of_float32(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss, count=5)
    logits = 3e37 * np.array([1.0, -1.0, 1.0, -1.0, 0.0], np.float32)
    if case.loss.two_logits:
        logits = np.stack([-logits, logits], axis=1)
    value, gradients = result(case.loss, batch._replace(logits=logits))
    assert np.isfinite(value) and finite(gradients)


@VARIANTS_SLOW
def test_masked_rows_are_as_if_not_there(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    expected, slopes = result(case.loss, batch)
    junk = random_batch(case.loss, seed=1, count=5)
    junk = Batch(*(np.full_like(v, np.nan) for v in junk[:3]), *junk[3:])
    junk.logits[3], junk.weights[3], junk.labels[3] = np.inf, 1e30, 1.0
    junk.hidden[:] = np.nan
    junk.conversions[0] = np.nan
    order = np.random.default_rng(2).permutation(17)
    value, gradients = result(
        case.loss, (junk + batch).rows(order), mask=(np.arange(17) >= 5)[order]
    )
    assert close(value, expected)
    back = {k: v[np.argsort(order)] for k, v in gradients.items()}
    same_gradients({k: v[5:] for k, v in back.items()}, slopes)
    assert not any(np.any(v[:5]) for v in back.values())


@VARIANTS_SLOW
def test_pointwise_terms_alone_scale_with_weights(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    once, _ = result(case.loss, batch)
    value, _ = result(case.loss, batch, weights=8.0 * batch.weights)
    assert close(value, once + 7.0 * case.expected_pointwise(batch))


@VARIANTS_SLOW
def test_order_of_rows_does_not_matter(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss, count=20)
    order = np.random.default_rng(1).permutation(20)
    value, slopes = result(case.loss, batch)
    other, gradients = result(case.loss, batch.rows(order))
    assert close(other, value)
    same_gradients(gradients, {k: v[order] for k, v in slopes.items()})


@VARIANTS_SLOW
def test_contexts_are_separate_batches(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss, count=20)
    for loss, weight in case.ranking:
        parts = [
            batch.rows(batch.contexts == context) for context in set(batch.contexts)
        ]
        shares = np.array([weight(part) for part in parts])
        apart = [result(loss, part, contexts=None)[0] for part in parts]
        assert close(result(loss, batch)[0], np.average(apart, weights=shares))


@VARIANTS_SLOW
def test_one_context_is_the_batch_and_one_each_holds_no_pair(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    value, slopes = result(case.loss, batch, contexts=None)
    one = np.full_like(batch.contexts, -3)
    other, gradients = result(case.loss, batch, contexts=one)
    assert close(other, value)
    same_gradients(gradients, slopes)
    each = -np.arange(12, dtype=np.int64)
    for loss, _ in case.ranking:
        value, gradients = result(loss, batch, contexts=each)
        assert value == 0.0
        same_gradients(gradients, {k: np.zeros_like(v) for k, v in slopes.items()})


@VARIANTS_SLOW
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_computed_as_float32(name: str, dtype: tf.DType) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    fields = ("logits", "hidden", "labels", "conversions")
    half = {k: tf.cast(getattr(batch, k), dtype) for k in fields}
    exact = {k: tf.cast(v, tf.float32).numpy() for k, v in half.items()}
    expected, slopes = result(case.loss, batch._replace(**exact))
    value, gradients = result(case.loss, batch._replace(**half))
    assert value == expected
    for field, found in gradients.items():
        assert found.dtype == dtype.as_numpy_dtype
        np.testing.assert_allclose(
            found.astype(np.float32), slopes[field], rtol=1e-2, atol=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFAULTS)
def test_graph_with_any_number_of_rows(name: str) -> None:
    case = CASES[name]
    width = (2,) if case.loss.two_logits else ()

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *width)),
            *[tf.TensorSpec((None,), t) for t in (tf.float32,) * 2 + (tf.int64,)],
            tf.TensorSpec((None, 4)),
            tf.TensorSpec((None,)),
        ]
    )
    def loss(*values: tf.Tensor) -> tf.Tensor:
        batch = Batch(*values)
        extras = {name: getattr(batch, name) for name in case.loss.extras}
        losses = case.loss.per_example(
            batch.logits,
            batch.labels,
            weights=batch.weights,
            contexts=batch.contexts,
            **extras,
        )
        return mean_loss(losses, tf.cast(tf.size(batch.labels), tf.float32))

    for count in (12, 5):
        batch = random_batch(case.loss, count=count)
        assert close(float(loss(*batch)), result(case.loss, batch)[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in DEFAULTS if name not in TILED])
def test_xla_computes_the_same(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    compiled = tf.function(
        lambda batch: result_tensors(case.loss, batch),
        jit_compile=True,
        autograph=False,
    )
    expected, slopes = result(case.loss, batch)
    value, gradients = compiled(Batch(*map(tf.constant, batch)))
    assert close(float(value), expected)
    same_gradients({k: v.numpy() for k, v in gradients.items()}, slopes)


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if not case.loss.in_batch]
)
def test_shares_of_a_loss_without_partners_add_up(name: str) -> None:
    case = CASES[name]
    batch = random_batch(case.loss)
    parts = [batch.rows(slice(0, 5)), batch.rows(slice(5, 12))]
    shares = [
        mean_loss(case.loss.per_example(p.logits, p.labels, weights=p.weights), 12.0)
        for p in parts
    ]
    assert close(float(sum(shares)), result(case.loss, batch)[0])


@ALL
def test_serialization_round_trip(name: str) -> None:
    loss = CASES[name].loss
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
