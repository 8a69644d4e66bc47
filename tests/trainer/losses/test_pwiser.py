from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.losses.cases import Batch, pairs_with, random_batch, result
from trainer.losses import BinaryCrossEntropy, PWiseR
from trainer.losses.hinges import squared_hinge_sums
from trainer.losses.segments import Segments


def pair_terms(batch: Batch, **arguments: Any) -> float:
    """PWiseR without its cross-entropy."""
    both, _ = result(PWiseR(strength=1.0, click_margin=0.4), batch, **arguments)
    return both - result(BinaryCrossEntropy(), batch)[0]


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_contexts_are_separate_batches(label: float) -> None:
    batch = random_batch(PWiseR(), count=60)
    # One kind of pairs at a time: each has a mean of its own.
    batch = batch.rows((batch.labels == label) | (batch.conversions == 1.0))
    parts = [batch.rows(batch.contexts == c) for c in set(batch.contexts)]
    apart = [pair_terms(part, contexts=None) for part in parts]
    shares = [pairs_with(label, part) for part in parts]
    assert pair_terms(batch) == pytest.approx(np.average(apart, weights=shares))


def test_one_context_each_holds_no_pair() -> None:
    batch = random_batch(PWiseR())
    assert pair_terms(batch, contexts=np.arange(12)) == 0.0


def test_a_converted_row_is_in_no_group_even_without_a_click() -> None:
    batch = random_batch(PWiseR(), count=3)._replace(
        labels=np.zeros(3, np.float32),
        conversions=np.array([0.0, 1.0, 1.0], np.float32),
    )
    low, first, second = 1.0 / (1.0 + np.exp(-batch.logits.astype(np.float64)))
    hinges = [max(0.0, 0.4 - (p - low)) ** 2 for p in (first, second)]
    expected = np.average(hinges, weights=batch.weights[1:])
    assert pair_terms(batch, contexts=None) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
@pytest.mark.parametrize("contexts", [False, True])
def test_sums_by_sorting_are_exact(spread: float, contexts: bool) -> None:
    random = np.random.default_rng(0)
    count, chosen = 1000, 100
    p = 1.0 / (1.0 + np.exp(-random.normal(-3.0, spread, count)))
    p[:50] = p[50:100]  # Ties.
    weights = np.where(np.arange(count) % (count // chosen) == 0, random.random(), 0.0)
    weights *= 10.0 ** random.uniform(-3.0, 3.0, count)
    margins = random.choice([0.0, 0.1, 0.3, 1.0], count)
    ids = random.integers(0, 40, count) if contexts else np.zeros(count, np.int64)
    upstream = random.normal(size=count)
    same = ids[:, None] == ids
    gaps = np.where(same, np.maximum(margins[:, None] - (p - p[:, None]), 0.0), 0.0)
    variable = tf.constant(p)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        sums = squared_hinge_sums(
            variable,
            tf.constant(margins),
            tf.constant(weights),
            Segments(tf.constant(ids) if contexts else None),
        )
        total = tf.reduce_sum(sums * upstream)
    expected = gaps**2 @ weights
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-13 * weights.sum())
    slopes = 2.0 * gaps * weights * upstream[:, None]
    np.testing.assert_allclose(
        tape.gradient(total, variable),
        slopes.sum(1) - slopes.sum(0),
        rtol=1e-12,
        atol=1e-13 * weights.sum(),
    )


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"conversion_margin must lie in \[0, 1\]"):
        PWiseR(conversion_margin=1.5)
    with pytest.raises(ValueError, match="click_margin"):
        PWiseR(click_margin=-0.1)
    with pytest.raises(ValueError, match="strength must not be negative, got -1"):
        PWiseR(strength=-1.0)


def test_keras_is_told_what_is_missing() -> None:
    with pytest.raises(TypeError, match="PWiseR needs conversions"):
        PWiseR()(tf.ones([2]), tf.ones([2]))
