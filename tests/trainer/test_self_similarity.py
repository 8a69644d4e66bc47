from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from trainer import self_similarity
from trainer.self_similarity import log_sums_among
from trainer.similarity import unit_vectors

COUNT = 11


def expected(vectors: tf.Tensor, weights: tf.Tensor, temperature: float) -> tf.Tensor:
    """The rows in float64, from the whole matrix."""
    scores = tf.matmul(vectors, vectors, transpose_b=True) / temperature
    others = 1.0 - tf.eye(COUNT, dtype=tf.float64)
    kept = others * tf.cast(weights, tf.float64) > 0.0
    logs = tf.math.log(tf.where(weights > 0.0, tf.cast(weights, tf.float64), 1.0))
    return tf.reduce_logsumexp(tf.where(kept, scores + logs, -np.inf), axis=1)


@pytest.mark.parametrize("slab", [1, 30, 10_000])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("even", [False, True])
def test_sums_and_slopes_are_those_of_the_whole_matrix(
    slab: int, temperature: float, even: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_similarity, "SLAB", slab)
    monkeypatch.setattr(self_similarity, "FEWEST", 1)
    monkeypatch.setattr(self_similarity, "MOST", 4)
    random = np.random.default_rng(0)
    vectors = tf.constant(random.normal(size=(COUNT, 3)), tf.float32)
    weights = tf.constant(random.random(COUNT), tf.float32)
    weights *= tf.constant(np.arange(COUNT) != 4, tf.float32)
    factors, upstream = random.random((2, COUNT)).astype(np.float32)
    upstream = np.ones_like(upstream) if even else upstream
    results: list[list[npt.NDArray[Any]]] = []
    for ours in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            units = unit_vectors(vectors)
            if ours:
                rows = log_sums_among(
                    units, factors=factors, weights=weights, temperature=temperature
                )
            else:
                rows = expected(tf.cast(units, tf.float64), weights, temperature)
                rows = tf.cast(rows, tf.float32) * factors
            value = tf.reduce_sum(rows * upstream)
        results.append([rows.numpy(), tape.gradient(value, vectors).numpy()])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_nobody_to_meet_gives_zero(count: int) -> None:
    vectors, ones = tf.ones((count, 3)) / 3.0**0.5, tf.ones(count)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        rows = log_sums_among(vectors, factors=ones, weights=ones, temperature=0.1)
    assert not np.any(rows)
    assert tape.gradient(rows, vectors).shape == (count, 3)
