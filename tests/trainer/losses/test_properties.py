"""What every loss has to fulfil: one table, one row for each loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.oracles import losses as oracle
from trainer.losses import BinaryCrossEntropy, CombinedPair, Loss, RankNet
from trainer.losses.base import mean_loss, rows_left

Oracle = Callable[..., float]

# loss, oracle(logits, labels, weights), pointwise part, ranking part
TABLE: dict[str, tuple[Loss, Oracle, bool, bool]] = {
    "bce": (BinaryCrossEntropy(), oracle.bce, True, False),
    "bce_beta": (
        BinaryCrossEntropy(beta=0.3),
        lambda z, y, w: oracle.bce(z, y, w, 0.3),
        True,
        False,
    ),
    "ranknet": (RankNet(), oracle.ranknet, False, True),
    "combined_pair": (CombinedPair(), oracle.combined_pair, True, True),
    "combined_pair_half": (
        CombinedPair(alpha=0.5, beta=0.2),
        lambda z, y, w: oracle.combined_pair(z, y, w, None, 0.5, 0.2),
        True,
        True,
    ),
}
ALL = pytest.mark.parametrize("name", TABLE)


def value_and_gradient(
    loss: Loss, logits: Any, labels: Any, **arguments: Any
) -> tuple[float, Any]:
    logits = tf.constant(logits, tf.float32)
    labels = tf.constant(labels, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = loss.per_example(logits, labels, **arguments)
        value = mean_loss(losses, rows_left(logits, arguments.get("mask")))
    assert losses.shape == logits.shape and losses.dtype == tf.float32
    gradient = tape.gradient(value, logits)
    return float(value), tf.convert_to_tensor(gradient).numpy()


def rows(seed: int = 0, count: int = 12) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.4).astype(np.float32)
    labels[:2] = 0.0, 1.0
    return (
        random.normal(size=count).astype(np.float32) * 2.0,
        labels,
        random.uniform(0.2, 3.0, count).astype(np.float32),
    )


@ALL
def test_value_is_the_formula(name: str) -> None:
    loss, formula, _, _ = TABLE[name]
    for seed in range(3):
        logits, labels, weights = rows(seed)
        value, _ = value_and_gradient(
            loss, logits, labels, weights=tf.constant(weights)
        )
        expected = formula(logits.tolist(), labels.tolist(), weights.tolist())
        assert value == pytest.approx(expected, rel=2e-6)


@ALL
def test_gradient_is_the_central_difference_of_the_formula(name: str) -> None:
    loss, formula, _, _ = TABLE[name]
    logits, labels, weights = rows()
    _, gradient = value_and_gradient(loss, logits, labels, weights=tf.constant(weights))
    step = 1e-5
    for i in range(len(logits)):
        sides = []
        for sign in (1.0, -1.0):
            moved = [float(z) for z in logits]
            moved[i] += sign * step
            sides.append(formula(moved, labels.tolist(), weights.tolist()))
        assert gradient[i] == pytest.approx(
            (sides[0] - sides[1]) / (2.0 * step), rel=1e-4, abs=1e-7
        )


@ALL
@pytest.mark.parametrize("size", [1e4, 3e37])
def test_extreme_logits_stay_finite(name: str, size: float) -> None:
    loss = TABLE[name][0]
    logits = np.array([size, -size, size, -size, 0.0], np.float32)
    labels = [0.0, 1.0, 1.0, 0.0, 0.0]
    value, gradient = value_and_gradient(loss, logits, labels)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert gradient[0] > 0.0 and gradient[1] < 0.0


@ALL
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_pairs(name: str, label: float) -> None:
    loss, formula, pointwise, _ = TABLE[name]
    logits = [0.5, -1.5, 2.0]
    value, gradient = value_and_gradient(loss, logits, [label] * 3)
    assert value == pytest.approx(formula(logits, [label] * 3, [1.0] * 3), rel=1e-6)
    assert np.isfinite(gradient).all()
    assert np.any(gradient != 0.0) == pointwise


@ALL
def test_nothing_left_is_zero(name: str) -> None:
    loss = TABLE[name][0]
    logits, labels, _ = rows()
    none = tf.zeros(len(logits), tf.bool)
    assert value_and_gradient(loss, logits, labels, mask=none)[0] == 0.0
    zero = tf.zeros(len(logits))
    value, gradient = value_and_gradient(loss, logits, labels, weights=zero)
    assert value == 0.0 and np.all(gradient == 0.0)
    value, gradient = value_and_gradient(loss, [], [])
    assert value == 0.0 and gradient.shape == (0,)


@ALL
def test_masked_rows_have_no_effect(name: str) -> None:
    loss = TABLE[name][0]
    logits, labels, weights = rows()
    expected, slopes = value_and_gradient(
        loss, logits, labels, weights=tf.constant(weights)
    )
    junk = np.array([np.nan, 7.0, np.inf], np.float32)
    value, gradient = value_and_gradient(
        loss,
        np.concatenate([junk, logits]),
        np.concatenate([[1.0, 0.0, 1.0], labels]),
        weights=tf.constant(np.concatenate([[5.0, np.nan, 1.0], weights]), tf.float32),
        mask=tf.constant([False] * 3 + [True] * len(logits)),
    )
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient[3:], slopes, rtol=1e-5, atol=1e-8)
    assert np.all(gradient[:3] == 0.0)


@ALL
def test_scale_of_weights(name: str) -> None:
    loss, _, pointwise, ranking = TABLE[name]
    logits, labels, weights = rows()
    once, _ = value_and_gradient(loss, logits, labels, weights=tf.constant(weights))
    value, _ = value_and_gradient(
        loss, logits, labels, weights=tf.constant(weights * 8.0)
    )
    if pointwise and not ranking:
        assert value == pytest.approx(8.0 * once, rel=1e-6)
    elif ranking and not pointwise:
        assert value == pytest.approx(once, rel=1e-6)


@ALL
def test_order_of_rows_does_not_matter(name: str) -> None:
    loss = TABLE[name][0]
    logits, labels, weights = rows()
    order = np.random.default_rng(1).permutation(len(logits))
    value, slopes = value_and_gradient(
        loss, logits, labels, weights=tf.constant(weights)
    )
    other, gradient = value_and_gradient(
        loss, logits[order], labels[order], weights=tf.constant(weights[order])
    )
    assert other == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(gradient, slopes[order], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", [n for n, row in TABLE.items() if not row[3]])
def test_replicas_shares_of_pointwise_losses_add_up(name: str) -> None:
    loss = TABLE[name][0]
    logits, labels, _ = rows()
    whole, _ = value_and_gradient(loss, logits, labels)
    shares = [
        mean_loss(
            loss.per_example(tf.constant(logits[part]), tf.constant(labels[part])), 12.0
        )
        for part in (slice(0, 5), slice(5, 12))
    ]
    assert float(sum(shares)) == pytest.approx(whole, rel=1e-6)
