"""The ways to sum over pairs give one result, with contexts and without."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.oracles.pair_sums import ranknet_with_gradient
from trainer import tiles
from trainer.losses import RankNet, chebyshev, pair_lists, pair_matrix, pairs

WAYS = {
    "as they cost": {},
    "listed": {"LISTED_ROW_COST": 10**9},
    "mixed": {"LISTED_ROW_COST": 2},
    "interpolated": {"LISTED_ROW_COST": -1},
}


def contexts_of(kind: str, random: Any) -> Any:
    """int64 [600], any values in any order."""
    counts = {
        "one giant": [600],
        "tiny": [1 + k % 4 for k in range(240)],
        "mixed": [300, 100] + [5] * 40,
        "alone": [1] * 600,
    }[kind]
    values = random.permutation(10**6)[: len(counts)] - 2**60
    return random.permutation(np.repeat(values, counts)[:600]).astype(np.int64)


def check(logits: Any, labels: Any, weights: Any = None, contexts: Any = None) -> None:
    expected, slopes = ranknet_with_gradient(logits, labels, weights, contexts)
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        losses = RankNet().per_example(
            variable, tf.constant(labels), weights=weights, contexts=contexts
        )
        value = tf.reduce_sum(losses / len(logits))
    gradient = tf.convert_to_tensor(tape.gradient(value, variable)).numpy()
    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert np.abs(gradient - slopes).max() <= 1e-6 * np.abs(slopes).max()


@pytest.fixture(params=WAYS)
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(pairs, name, value)
    yield request.param


@pytest.mark.parametrize("kind", ["one giant", "tiny", "mixed", "alone"])
def test_contexts(kind: str, way: str) -> None:
    random = np.random.default_rng(0)
    contexts = contexts_of(kind, random)
    labels = (random.random(600) < 0.3).astype(np.float32)
    weights = random.uniform(0.1, 5.0, 600).astype(np.float32)
    for spread in (1.0, 12.0, 300.0):
        logits = random.uniform(-spread, spread, 600).astype(np.float32)
        check(logits, labels, weights, contexts)


def test_outliers_in_contexts(way: str) -> None:
    random = np.random.default_rng(1)
    contexts = contexts_of("mixed", random)
    labels = (random.random(600) < 0.3).astype(np.float32)
    logits = random.normal(size=600).astype(np.float32)
    logits[::7] *= 3e3
    check(logits, labels, None, contexts)


@pytest.mark.parametrize("tile", [1, 5, 64])
def test_tiles_change_nothing(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    labels = (random.random(40) < 0.4).astype(np.float32)
    logits = random.normal(size=40).astype(np.float32) * 9.0
    contexts = np.arange(40, dtype=np.int64) % 3
    for module in (pair_lists, pair_matrix, chebyshev):
        monkeypatch.setattr(module, "TILE", tile)
    monkeypatch.setattr(chebyshev, "NEIGHBORS", tile)
    check(logits, labels)
    check(logits, labels, None, contexts)
    for name in ("FIXED_COST", "ROW_COST", "LISTED_ROW_COST"):
        monkeypatch.setattr(pairs, name, -1)
    check(logits, labels)
    check(logits, labels, None, contexts)


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.5, 1.0])
def test_the_cheapest_way_is_right(rate: float) -> None:
    """Around the number of pairs at which another way becomes the cheapest."""
    random = np.random.default_rng(3)
    for count in (0, 1, 2, 400, 700):
        labels = (random.random(count) < rate).astype(np.float32)
        logits = random.normal(size=count).astype(np.float32)
        check_or_zero(logits, labels)


def check_or_zero(logits: Any, labels: Any) -> None:
    if 0 < labels.sum() < len(labels):
        check(logits, labels)
    else:
        losses = RankNet().per_example(tf.constant(logits), tf.constant(labels))
        assert np.all(losses.numpy() == 0.0)


def test_tiles_of_no_rows() -> None:
    nothing = tiles.concat_tiles(
        lambda start, stop: tf.zeros(tf.stack([stop - start, 2]), tf.float64),
        count=tf.constant(0),
        stops=tiles.tiles_of(3, tf.constant(0)),
        shape=(2,),
    )
    assert nothing.shape == (0, 2)
