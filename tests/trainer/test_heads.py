"""The two heads: what is trained on, what is served, and what a sample shows."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.heads import HEADS, build_head

HIDDEN = tf.constant(np.random.default_rng(0).normal(size=(6, 3)), tf.float32)
RATES = tf.constant([0.1, 0.5, 1.0, 0.1, 0.2, 0.9])


@pytest.mark.parametrize("name", HEADS)
def test_the_sample_has_the_logit_of_the_thinned_odds(name: str) -> None:
    head = build_head(name, 3, from_score=False, name="head", seed=1)
    outputs = head(HIDDEN)
    z = head.logit(outputs).numpy()
    assert z.shape == (6,)
    odds = np.exp(z.astype(np.float64)) / RATES.numpy()
    sampled = head.logit(head.sampled(outputs, tf.math.log(RATES))).numpy()
    np.testing.assert_allclose(sampled, np.log(odds), rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_a_fresh_head_starts_where_it_is_told(name: str) -> None:
    head = build_head(name, 3, from_score=False, name="head", seed=1)
    head.start_at(-3.5)
    assert head.logit(head(tf.zeros((1, 3)))).numpy() == pytest.approx([-3.5])


def test_sampling_moves_the_logit_of_no_click_alone() -> None:
    head = build_head("two_logits", 3, from_score=False, name="head", seed=1)
    outputs = head(HIDDEN)
    assert outputs.shape == (6, 2)
    moved = head.sampled(outputs, tf.math.log(RATES)) - outputs
    np.testing.assert_allclose(moved[:, 0], np.log(RATES), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(moved[:, 1], np.zeros(6))


def test_a_score_has_no_two_logits() -> None:
    with pytest.raises(ValueError, match="two logits need a hidden vector"):
        build_head("two_logits", 1, from_score=True, name="head", seed=1)
