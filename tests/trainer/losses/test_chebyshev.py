"""Interpolated pair sums against the double sum, over ranges and distributions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.oracles.pair_sums import ranknet_with_gradient
from trainer.losses import RankNet, pairs
from trainer.losses.base import mean_loss
from trainer.losses.chebyshev import NODES, ChebyshevPairs
from trainer.losses.pair_matrix import PairMatrix

RANGES = [0.0, 1e-6, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 60.0]
POSITIVES = [1, 60, 999]
COUNT = 1_000
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("normal", "reversed")]
DISTRIBUTIONS = ["even", "edges", "apart", "outliers", *SLOW]


def logits_of(distribution: str, spread: float, labels: Any, random: Any) -> Any:
    """Float32 logits over a range of `spread`, somewhere away from 0."""
    count, positive = len(labels), labels == 1.0
    places = random.random(count)
    if distribution == "normal":
        places = np.clip(0.5 + 0.15 * random.normal(size=count), 0.0, 1.0)
    elif distribution == "edges":
        places = np.round(places)
    elif distribution == "apart":
        places = 0.4 * places + 0.6 * positive
    elif distribution == "reversed":
        places = 0.4 * places + 0.6 * ~positive
    logits = spread * places - 0.7 * spread - 3.0
    if distribution == "outliers":
        logits[:4] = [1e4, -1e4, 95.0, -300.0]
        logits[-4:] = [2e4, -130.0, 1e4, -1e4]
    return logits.astype(np.float32)


@tf.function(autograph=False, input_signature=[tf.TensorSpec([None])] * 3)
def value_and_gradient(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = RankNet().per_example(logits, labels, weights=weights)
        value = mean_loss(losses, tf.cast(tf.size(logits), tf.float32))
    return value, tf.convert_to_tensor(tape.gradient(value, logits))


def errors(logits: Any, labels: Any, weights: Any = None) -> tuple[float, float]:
    """Of the loss by max(L, ln 2), and of the gradient by its largest entry."""
    weights = np.ones_like(labels) if weights is None else weights
    expected, slopes = ranknet_with_gradient(logits, labels, weights)
    value, gradient = value_and_gradient(*map(tf.constant, (logits, labels, weights)))
    # Smaller numbers than 1e-37 are 0 in float32.
    largest = max(np.abs(slopes).max(), 1e-31)
    return (
        abs(float(value) - expected) / max(expected, np.log(2.0)),
        float(np.abs(gradient.numpy() - slopes).max() / largest),
    )


@pytest.fixture(autouse=True, scope="module")
def interpolated() -> Iterator[None]:
    """Interpolates however few pairs there are."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FIXED_COST", "ROW_COST", "LISTED_ROW_COST"):
            patch.setattr(pairs, name, -1)
        yield


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_table_of_errors(distribution: str) -> None:
    random = np.random.default_rng(0)
    for positives in POSITIVES:
        labels = np.zeros(COUNT, np.float32)
        labels[random.permutation(COUNT)[:positives]] = 1.0
        for spread in RANGES:
            logits = logits_of(distribution, spread, labels, random)
            of_value, of_gradient = errors(logits, labels)
            # Nearly all of it is float32's.
            assert of_value <= 4e-7, (positives, spread, of_value)
            assert of_gradient <= 4e-7, (positives, spread, of_gradient)


@pytest.mark.parametrize("spread", RANGES)
def test_interpolation_itself_errs_less_than_float32(spread: float) -> None:
    random = np.random.default_rng(1)
    above, below = (tf.constant(spread * random.random(n)) for n in (50, 700))
    weights = tf.constant(random.random(700))
    upstream = tf.constant(random.random(50))
    ours, exact = ChebyshevPairs(above, below), PairMatrix(above, below)
    sums, expected = ours.of_positives(weights), exact.of_positives(weights)
    np.testing.assert_allclose(sums, expected, rtol=5e-8)
    to_negatives = ours.of_negatives(upstream)
    np.testing.assert_allclose(to_negatives, exact.of_negatives(upstream), rtol=5e-8)


def test_weights_over_many_orders() -> None:
    random = np.random.default_rng(2)
    labels = (random.random(COUNT) < 0.3).astype(np.float32)
    logits = logits_of("even", 16.0, labels, random)
    weights = np.exp(random.uniform(-12.0, 12.0, COUNT)).astype(np.float32)
    weights[:50] = 0.0
    assert max(errors(logits, labels, weights)) <= 1e-6


def test_logits_on_nodes() -> None:
    from trainer.losses.chebyshev import _nodes

    on_nodes = np.concatenate([_nodes(), _nodes() - 4.0, [0.0, -0.0]])
    logits = np.tile(on_nodes.astype(np.float32), 2)
    labels = np.repeat([0.0, 1.0], NODES * 2 + 2).astype(np.float32)
    assert max(errors(logits, labels)) <= 4e-7
    exactly = tf.constant(on_nodes)
    sums = ChebyshevPairs(exactly, exactly).of_positives(tf.ones_like(exactly))
    expected = PairMatrix(exactly, exactly).of_positives(tf.ones_like(exactly))
    np.testing.assert_allclose(sums, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["apart", "same", "huge"])
def test_ranges_without_an_end(kind: str) -> None:
    random = np.random.default_rng(3)
    logits = {
        "apart": random.uniform(-1e4, 1e4, 3_000),
        "same": np.full(3_000, -1e4),
        "huge": random.choice([-1.0, 1.0], 3_000) * 10 ** random.uniform(-3, 29, 3_000),
    }[kind].astype(np.float32)
    labels = (random.random(3_000) < 0.1).astype(np.float32)
    assert max(errors(logits, labels)) <= 1e-6


def test_not_a_number_is_passed_on() -> None:
    """Training skips such a step: it must neither stop nor go unseen."""
    random = np.random.default_rng(4)
    labels = (random.random(200) < 0.5).astype(np.float32)
    logits = random.normal(size=200).astype(np.float32)
    logits[7] = np.nan
    value, _ = value_and_gradient(logits, labels, np.ones_like(labels))
    assert np.isnan(float(value))


def test_uneven_upstream_gradients() -> None:
    """Rows may be multiplied by anything after the loss."""
    random = np.random.default_rng(5)
    labels = (random.random(100) < 0.3).astype(np.float32)
    logits, upstream = random.normal(size=(2, 100)).astype(np.float32) * 3.0
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        ours = tf.reduce_sum(upstream * RankNet().per_example(variable, labels))
    gradient = tf.convert_to_tensor(tape.gradient(ours, variable)).numpy()
    positive = labels == 1.0
    differences = logits[~positive] - logits[positive][:, None]
    slopes = 1.0 / (1.0 + np.exp(-differences.astype(np.float64)))
    slopes *= 100.0 / slopes.size * upstream[positive][:, None]
    np.testing.assert_allclose(gradient[positive], -slopes.sum(1), rtol=2e-6)
    np.testing.assert_allclose(gradient[~positive], slopes.sum(0), rtol=2e-5, atol=1e-6)
