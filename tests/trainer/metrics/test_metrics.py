"""Whole-set metrics against plain loops and scikit-learn."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from trainer.metrics.auc import AreaUnderCurve
from trainer.metrics.gauc import GroupedAUC
from trainer.metrics.likelihood import Likelihood
from trainer.metrics.ranked_area import RankedArea
from trainer.metrics.task import DEFINITIONS, TaskMetrics
from trainer.metrics.undefined import Undefined


def rows(count=400, seed=0, *, ties=False):
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2.0, 1.5, count)
    if ties:
        logits = np.round(logits)
    labels = (rng.random(count) < 1.0 / (1.0 + np.exp(-logits))).astype(float)
    weights = rng.choice([1.0, 10.0, 2.5], count)
    users = rng.integers(0, 40, count)
    return logits, labels, weights, users


def plain_auc(logits, labels, weights):
    area = total = 0.0
    for z, y, w in zip(logits, labels, weights, strict=True):
        for other, label, weight in zip(logits, labels, weights, strict=True):
            if y == 1 and label == 0:
                total += w * weight
                area += w * weight * (1.0 if z > other else 0.5 if z == other else 0.0)
    return area / total if total else None


@pytest.mark.parametrize("ties", [False, True])
def test_the_ranked_auc_is_exact_also_in_parts(ties):
    logits, labels, weights, _ = rows(ties=ties)
    logits = logits.astype(np.float32).astype(float)
    area, rest = RankedArea(), RankedArea()
    area.update(logits[:100], labels[:100], weights[:100])
    rest.update(logits[100:], labels[100:], weights[100:])
    area.merge(rest)
    assert area.result() == pytest.approx(plain_auc(logits, labels, weights), rel=1e-12)
    assert area.error_bound() == 0.0


def test_the_ranked_auc_of_one_kind_is_undefined():
    area = RankedArea()
    area.update(np.zeros(3), np.ones(3), np.ones(3))
    with pytest.raises(Undefined, match="all rows are positive"):
        area.result()


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_within_its_bound_of_the_exact_one(ties):
    logits, labels, weights, _ = rows(ties=ties)
    area = AreaUnderCurve()
    area.update(logits, labels, weights)
    exact = plain_auc(logits, labels, weights)
    by_sklearn = sklearn_metrics.roc_auc_score(labels, logits, sample_weight=weights)
    assert exact == pytest.approx(by_sklearn, abs=1e-12)
    assert abs(area.result() - exact) <= area.error_bound() + 1e-12
    if ties:
        assert area.result() == pytest.approx(exact, abs=1e-12)
    else:
        assert area.error_bound() < 1e-5


def test_auc_of_known_rows():
    area = AreaUnderCurve()
    area.update(np.array([1.0, 0.0, -1.0, 0.0]), np.array([1.0, 1, 0, 0]), np.ones(4))
    # Pairs: (1, -1) and (1, 0) right, (0, -1) right, (0, 0) tied.
    assert area.result() == 3.5 / 4


def test_extreme_logits_stay_in_order():
    area = AreaUnderCurve()
    logits = np.array([np.inf, 1e9, -1e9, -np.inf])
    area.update(logits, np.array([1.0, 1, 0, 0]), np.ones(4))
    assert area.result() == 1.0


def test_gauc_equals_the_plain_loop():
    logits, labels, weights, users = rows(ties=True)
    grouped = GroupedAUC()
    grouped.update(users, logits.astype(np.float32), labels, weights)
    total = counted = 0.0
    good = 0
    for user in np.unique(users):
        mine = users == user
        auc = plain_auc(logits[mine], labels[mine], weights[mine])
        if auc is not None:
            good += 1
            total += auc * weights[mine].sum()
            counted += weights[mine].sum()
    result = grouped.result()
    assert result.value == pytest.approx(total / counted, abs=1e-12)
    assert result.users == good
    assert result.users_left_out == len(np.unique(users)) - good
    assert result.impression_share == pytest.approx(counted / weights.sum())


def test_likelihood_against_sklearn_and_arithmetic():
    logits, labels, weights, _ = rows()
    likelihood = Likelihood()
    likelihood.update(logits, labels, weights)
    p = 1.0 / (1.0 + np.exp(-logits))
    expected = sklearn_metrics.log_loss(labels, p, sample_weight=weights)
    assert likelihood.log_loss() == pytest.approx(expected, rel=1e-12)
    q = np.average(labels, weights=weights)
    entropy = -q * math.log(q) - (1 - q) * math.log(1 - q)
    assert likelihood.normalized_entropy() == pytest.approx(expected / entropy)
    assert likelihood.calibration() == pytest.approx(np.average(p, weights=weights) / q)


@pytest.mark.parametrize("keep", [1.0, 0.3])
def test_the_error_of_calibration_is_that_of_repeated_draws(keep):
    """Labels drawn again and again of a calibrated model; negatives weigh 1/r."""
    generator = np.random.default_rng(3)
    logits = generator.normal(-2.0, 1.0, 4_000)
    p = 1.0 / (1.0 + np.exp(-logits))
    found, errors = [], []
    for _ in range(200):
        labels = (generator.random(len(p)) < p).astype(np.float64)
        kept = (labels == 1) | (generator.random(len(p)) < keep)
        likelihood = Likelihood()
        weights = np.where(labels == 1, 1.0, 1.0 / keep)
        likelihood.update(logits[kept], labels[kept], weights[kept])
        assert likelihood.positives == labels.sum()
        assert likelihood.weight == pytest.approx(weights[kept].sum())
        found.append(likelihood.calibration())
        errors.append(likelihood.calibration_error())
    assert np.mean(found) == pytest.approx(1.0, abs=0.01)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)


def test_log_loss_of_extreme_logits_is_finite():
    likelihood = Likelihood()
    likelihood.update(np.array([1000.0, -1000.0]), np.array([0.0, 0.0]), np.ones(2))
    assert likelihood.log_loss() == 500.0


def test_constant_base_rate_has_normalized_entropy_one():
    labels = np.array([1.0, 0, 0, 0])
    likelihood = Likelihood()
    likelihood.update(np.full(4, math.log(1 / 3)), labels, np.ones(4))
    assert likelihood.normalized_entropy() == pytest.approx(1.0, abs=1e-12)
    assert likelihood.calibration() == pytest.approx(1.0, abs=1e-12)


def test_parts_merge_to_the_whole():
    logits, labels, weights, users = rows()
    whole, first, second = (TaskMetrics(grouped=True) for _ in range(3))
    whole.update(logits, labels, weights, users)
    first.update(logits[:100], labels[:100], weights[:100], users[:100])
    second.update(logits[100:], labels[100:], weights[100:], users[100:])
    first.merge(second)
    expected = whole.result()
    for name, value in first.result().items():
        if isinstance(value, float):
            assert value == pytest.approx(expected[name], abs=1e-12), name


def test_weights_one_over_r_restore_the_full_set():
    """Dropping half the negatives at random and weighing them 2 changes little."""
    logits, labels, _, users = rows(200_000, seed=5)
    full, sampled = TaskMetrics(grouped=False), TaskMetrics(grouped=False)
    full.update(logits, labels, np.ones(len(labels)), users)
    kept = (labels == 1) | (np.random.default_rng(1).random(len(labels)) < 0.5)
    weights = np.where(labels == 1, 1.0, 2.0)
    sampled.update(logits[kept], labels[kept], weights[kept], users[kept])
    for name in ("auc", "log_loss", "calibration", "normalized_entropy"):
        assert sampled.result()[name] == pytest.approx(full.result()[name], rel=0.01)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_kind_leave_metrics_undefined_with_a_reason(label):
    metrics = TaskMetrics(grouped=True)
    labels, users = np.full(3, label), np.arange(3)
    metrics.update(np.zeros(3), labels, np.ones(3), users)
    result = metrics.result()
    kind = "positive" if label else "negative"
    for name in ("auc", "gauc", "normalized_entropy"):
        assert result[name] is None
    assert f"all rows are {kind}" in result["undefined"]["auc"]
    assert result["log_loss"] == pytest.approx(math.log(2))
    assert (result["calibration"] is None) == (label == 0.0)


def test_no_rows_and_no_users():
    result = TaskMetrics(grouped=False).result()
    assert result["rows"] == 0
    assert all(result[name] is None for name in DEFINITIONS)
    assert "ids.user" in result["undefined"]["gauc"]
    with pytest.raises(Undefined, match="no rows"):
        GroupedAUC().result()


def test_nan_predictions_are_refused():
    with pytest.raises(FloatingPointError, match="NaN"):
        TaskMetrics(grouped=False).update(
            np.array([np.nan]), np.ones(1), np.ones(1), None
        )
