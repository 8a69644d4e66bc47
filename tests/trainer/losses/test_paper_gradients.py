"""Gradients of logits as KDD 2024 derives them: equations 9 to 13 and table 2.

Expected values are written in NumPy, float64, as the paper prints them, but for its
equation 11, whose sum runs over positives.
"""

from typing import Any

import numpy as np
import pytest

from tests.trainer.losses.cases import Batch, random_batch, result
from trainer.losses import BinaryCrossEntropy, CombinedPair, Loss, RankNet

COUNT = 30


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x.astype(np.float64)))


def gradient(loss: Loss, batch: Batch) -> Any:
    _, gradients = result(loss, batch, weights=None, contexts=None)
    return gradients["logits"]


def split(batch: Batch) -> tuple[Any, Any]:
    return batch.labels == 1.0, batch.labels == 0.0


def sparse_batch(seed: int) -> Batch:
    """Positives whose logits are below 0, as under sparse feedback."""
    batch = random_batch(RankNet(), seed, COUNT)
    logits = np.where(batch.labels == 1.0, -np.abs(batch.logits) - 0.1, batch.logits)
    return batch._replace(logits=logits)


SEEDS = pytest.mark.parametrize("seed", range(3))


@SEEDS
def test_cross_entropy_of_negatives_is_their_probability(seed: int) -> None:
    batch = random_batch(RankNet(), seed, COUNT)
    _, negative = split(batch)
    np.testing.assert_allclose(  # Equation 9.
        gradient(BinaryCrossEntropy(), batch)[negative],
        sigmoid(batch.logits[negative]) / COUNT,
        rtol=2e-6,
    )


@SEEDS
def test_cross_entropy_of_positives_is_what_they_lack(seed: int) -> None:
    batch = random_batch(RankNet(), seed, COUNT)
    positive, _ = split(batch)
    np.testing.assert_allclose(  # Equation 10.
        gradient(BinaryCrossEntropy(), batch)[positive],
        -(1.0 - sigmoid(batch.logits[positive])) / COUNT,
        rtol=2e-6,
    )


@SEEDS
def test_ranknet_is_a_mean_over_the_other_label(seed: int) -> None:
    batch = random_batch(RankNet(), seed, COUNT)
    positive, negative = split(batch)
    slopes = gradient(RankNet(), batch)
    # Equation 11 and table 2: rows are negatives j, columns positives i.
    wrong = sigmoid(batch.logits[negative][:, None] - batch.logits[positive])
    number = positive.sum() * negative.sum()
    np.testing.assert_allclose(slopes[negative], wrong.sum(1) / number, rtol=3e-6)
    right = sigmoid(batch.logits[positive] - batch.logits[negative][:, None])
    np.testing.assert_allclose(
        slopes[positive], -(1.0 - right).sum(0) / number, rtol=3e-6
    )


@SEEDS
def test_ranknet_exceeds_cross_entropy_under_sparse_feedback(seed: int) -> None:
    batch = sparse_batch(seed)
    _, negative = split(batch)
    pair = gradient(RankNet(), batch)[negative]
    point = gradient(BinaryCrossEntropy(), batch)[negative]
    # Equation 12, both steps.
    assert np.all(pair > sigmoid(batch.logits[negative]) / negative.sum())
    assert np.all(pair > point)


@SEEDS
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_combined_pair_mixes_the_two(seed: int, alpha: float) -> None:
    batch = sparse_batch(seed)
    _, negative = split(batch)
    point = gradient(BinaryCrossEntropy(), batch)
    pair = gradient(RankNet(), batch)
    slopes = gradient(CombinedPair(alpha=alpha), batch)
    # Equation 13.
    np.testing.assert_allclose(slopes, alpha * point + (1.0 - alpha) * pair, rtol=2e-6)
    assert np.all(slopes[negative] > point[negative])


@SEEDS
def test_both_terms_have_the_same_direction(seed: int) -> None:
    batch = random_batch(RankNet(), seed, COUNT)
    positive, negative = split(batch)
    for loss in (BinaryCrossEntropy(), RankNet()):  # Table 2.
        slopes = gradient(loss, batch)
        assert np.all(slopes[negative] > 0.0) and np.all(slopes[positive] < 0.0)
