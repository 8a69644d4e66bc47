"""Learning-rate schedules: their values, and both optimizers under them."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from configs.training import DenseOptimizer, Schedule
from trainer.optimizers.dense import dense_optimizer
from trainer.optimizers.schedule import share_of_rate


def shares(steps, **options):
    schedule = Schedule(**options)
    return [float(share_of_rate(schedule, tf.constant(step))) for step in steps]


def test_constant():
    assert shares([0, 7, 10**6]) == [1.0, 1.0, 1.0]


def test_warm_up_ends_at_the_whole_rate():
    values = shares(range(6), warmup_steps=4)
    np.testing.assert_allclose(values, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_linear():
    values = shares([0, 1, 2, 3, 4, 9], name="linear", decay_steps=4, final_share=0.2)
    np.testing.assert_allclose(values, [1.0, 0.8, 0.6, 0.4, 0.2, 0.2], rtol=1e-6)


def test_cosine_after_warm_up():
    values = shares(
        range(8), name="cosine", warmup_steps=2, decay_steps=4, final_share=0.1
    )
    falling = [0.1 + 0.9 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(5)]
    np.testing.assert_allclose(values, [0.5, 1.0, *falling, 0.1], rtol=1e-6)


def test_exponential():
    values = shares(
        [0, 5, 10, 20], name="exponential", decay_steps=10, final_share=0.04
    )
    np.testing.assert_allclose(values, [1.0, 0.2, 0.04, 0.04], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay_steps": 5}, "no effect on a constant"),
        ({"name": "cosine"}, "needs decay_steps"),
        ({"name": "exponential", "decay_steps": 5}, "final_share above 0"),
    ],
)
def test_what_makes_no_schedule_is_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        Schedule(**options)


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "sgd"])
def test_the_dense_rate_follows_while_callbacks_see_the_peak(name):
    schedule = Schedule(name="linear", warmup_steps=2, decay_steps=4, final_share=0.5)
    options = DenseOptimizer(
        name=name, learning_rate=0.1, schedule=schedule, weight_decay=0.3
    )
    ours = keras.Variable(np.array([[1.0, -2.0]], np.float32), name="kernel")
    theirs = keras.Variable(ours.numpy())
    optimizer = dense_optimizer(options, [ours])
    config = {"weight_decay": 0.3} if name == "adamw" else {}
    reference = keras.optimizers.get({"class_name": name, "config": config})
    for share in (0.5, 1.0, 1.0, 0.875, 0.75):
        gradient = tf.constant([[0.5, 2.0]])
        assert float(optimizer.scheduled_rate()) == pytest.approx(0.1 * share)
        optimizer.apply([gradient], [ours])
        reference.learning_rate = 0.1 * share
        reference.apply([gradient], [theirs])
        assert float(optimizer.learning_rate.numpy()) == pytest.approx(0.1)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)
    optimizer.learning_rate = 0.01
    assert float(optimizer.scheduled_rate()) == pytest.approx(0.01 * 0.625)
