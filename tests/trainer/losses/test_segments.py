import math

import numpy as np
import pytest
import tensorflow as tf

from trainer.losses.segments import Segments, contexts_with_pairs

# Neighbors above 2^24: they are one number in float32.
CONTEXTS = [2**40 + 1, -7, 2**40, 2**40 + 1, -7, 0]
VALUES = [1.0, -2.0, 3.0, 0.5, 4.0, -1.0]


def test_sums_and_maxima_by_context() -> None:
    segments = Segments(tf.constant(CONTEXTS, tf.int64))
    values = tf.constant(VALUES)
    assert segments.indices.numpy().tolist() == [0, 1, 2, 0, 1, 3]
    assert segments.sum(values).numpy().tolist() == [1.5, 2.0, 3.0, -1.0]
    assert segments.maximum(values).numpy().tolist() == [1.0, 4.0, 3.0, -1.0]
    spread = segments.spread(segments.sum(values)).numpy().tolist()
    assert spread == [1.5, 2.0, 3.0, 1.5, 2.0, -1.0]
    pairs = segments.sum(tf.constant([[v, 1.0] for v in VALUES])).numpy()
    assert pairs[:, 1].tolist() == [2.0, 2.0, 1.0, 1.0]


def test_without_contexts_the_batch_is_one() -> None:
    segments, values = Segments(None), tf.constant(VALUES)
    assert segments.sum(values).numpy().tolist() == [5.5]
    assert segments.spread(segments.maximum(values)).numpy().tolist() == [4.0]


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4, 1e30, -1e30])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_logsumexp_is_weighted_and_stable(offset: float, scale: float) -> None:
    weights = [2.0, 0.0, 1.0, 0.5, 3.0, 0.0]
    values = tf.constant([v + offset for v in VALUES], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(values)
        result = Segments(tf.constant(CONTEXTS, tf.int64)).logsumexp(
            values, tf.constant([w * scale for w in weights], tf.float64)
        )
    sums = [2.0 * math.e + 0.5 * math.exp(0.5), 3.0 * math.exp(4.0), math.exp(3.0)]
    expected = [offset + math.log(scale) + math.log(s) for s in sums]
    # The last context has no weight at all.
    np.testing.assert_allclose(result.numpy(), [*expected, 0.0], rtol=1e-12)
    slopes = tape.gradient(result, values).numpy()
    if abs(offset) <= 1e4:
        shares = [2.0 * math.e / sums[0], 0, 1, 0.5 * math.exp(0.5) / sums[0], 1, 0]
        np.testing.assert_allclose(slopes, shares, rtol=1e-9)
    assert np.isfinite(slopes).all()


def test_logsumexp_of_no_rows() -> None:
    none = tf.zeros([0])
    assert Segments(None).logsumexp(none, none).numpy().tolist() == [0.0]
    empty = Segments(tf.zeros([0], tf.int64)).logsumexp(none, none)
    assert empty.shape == (0,)


def test_share_of_contexts_with_pairs() -> None:
    labels = tf.constant([1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    contexts = tf.constant(CONTEXTS, tf.int64)
    assert float(contexts_with_pairs(labels, tf.ones(6), contexts)) == 0.25
    # Only the context with a pair has weight.
    heavy = tf.constant([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    assert float(contexts_with_pairs(labels, heavy, contexts)) == 1.0
    assert float(contexts_with_pairs(labels, tf.ones(6), None)) == 1.0
    assert float(contexts_with_pairs(labels, tf.zeros(6), contexts)) == 0.0


def test_a_large_context_loses_no_digits() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=100_000).astype(np.float32)
    weights = random.uniform(0.2, 3.0, 100_000).astype(np.float32)
    variable = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        segments = Segments(tf.zeros(100_000, tf.int64))
        spread = segments.spread(segments.logsumexp(variable, weights))
        mean = tf.reduce_mean(spread)
    terms = weights * np.exp(values.astype(np.float64))
    assert float(mean) == pytest.approx(np.log(terms.sum()), rel=1e-6)
    np.testing.assert_allclose(
        tape.gradient(mean, variable), terms / terms.sum(), rtol=3e-6
    )
