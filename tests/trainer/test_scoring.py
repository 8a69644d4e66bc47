"""What scored rows say, beside plain sums."""

import numpy as np
import pytest

from configs.layout import IDS, LABEL_KINDS, LABELS, NEGATIVE_KEEP_RATE, TRUTH
from tests.trainer.example_sets import small_job
from tests.trainer.test_fake_negatives import late_job
from trainer.scoring import Scores, difference_errors


def test_how_sure_a_difference_is(tmp_path):
    """That of repeated draws of rows, some of whose negatives were dropped."""
    job = small_job(tmp_path)
    job = job.model_copy(
        update={
            "model": job.model.model_copy(
                update={"tasks": {"click": job.model.tasks["click"]}}
            )
        }
    )
    generator = np.random.default_rng(4)
    found, errors = [], []
    for _ in range(200):
        z = generator.normal(-2, 1, 2_000)
        other = z + generator.normal(0, 0.3, len(z))
        y = (generator.random(len(z)) < 1 / (1 + np.exp(-z))).astype(np.float32)
        keep = np.where(generator.random(len(z)) < 0.5, 1.0, 0.25).astype(np.float32)
        kept = (y == 1) | (generator.random(len(z)) < keep)
        labels = np.zeros((kept.sum(), len(job.labels)), np.float32)
        labels[:, list(job.labels).index("click")] = y[kept]
        columns = {
            LABELS: labels,
            NEGATIVE_KEEP_RATE: keep[kept],
            TRUTH: np.full_like(labels, np.nan),
            IDS: np.ones((kept.sum(), 4), np.int64),
        }
        pair = [{"click": logits[kept].astype(np.float32)} for logits in (z, other)]
        losses = []
        for logits in pair:
            scores = Scores(job, sampled=True, ranked=True)
            scores.update(logits, columns)
            losses.append(scores.result()["click"]["log_loss"])
        found.append(losses[0] - losses[1])
        (error,) = difference_errors(job, *pair, columns, sampled=True).values()
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)
    assert np.mean(errors) < 0.2 * np.mean(losses)


def test_differences_that_are_none(tmp_path):
    job = small_job(tmp_path)
    labels = np.zeros((2, len(job.labels)), np.float32)
    columns = {LABELS: labels, NEGATIVE_KEEP_RATE: np.ones(2, np.float32)}
    tasks = [*job.model.tasks, *job.model.conditionals.values()]
    fine = {task: np.zeros(2, np.float32) for task in tasks}
    infinite = {task: np.full(2, np.inf, np.float32) for task in tasks}
    errors = difference_errors(job, fine, infinite, columns, sampled=False)
    assert set(errors.values()) == {None}


def test_late_labels_are_scored_once_when_they_are_settled():
    """Two impressions: one is clicked late and bought from, the other is not."""
    job = late_job("model.tasks={click: {}, conversion: {given: click}}")
    first, late, real, again = 0, 1, 2, 3
    rows = [  # kinds and labels of click and conversion
        ((first, first), (0, 0)),
        ((first, first), (0, 0)),
        ((late, again), (1, 0)),
        ((real, real), (0, 0)),
        ((again, late), (1, 1)),
    ]
    labels = np.array([label for _, label in rows], np.float32)
    scores = Scores(job, sampled=False, ranked=True)
    logits = {
        "click": np.array([9, 9, -1, -2, 9], np.float32),
        "conversion": np.array([9, 9, 9, 9, 0.5], np.float32),
    }
    columns = {
        LABELS: labels,
        LABEL_KINDS: np.array([kinds for kinds, _ in rows]),
        NEGATIVE_KEEP_RATE: np.ones(5, np.float32),
        TRUTH: np.full_like(labels, np.nan),
        IDS: np.ones((5, 4), np.int64),
    }
    scores.update(logits, columns)
    found = scores.result()
    assert found["click"]["rows"] == 2 and found["conversion"]["rows"] == 1
    expected = (np.logaddexp(0, 1) + np.logaddexp(0, -2)) / 2
    assert found["click"]["log_loss"] == pytest.approx(expected, rel=1e-6)
    expected = np.logaddexp(0, -0.5)
    assert found["conversion"]["log_loss"] == pytest.approx(expected, rel=1e-6)
