import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.training import DenseOptimizer
from trainer.optimizers.clipping import share_within, square_norm
from trainer.optimizers.dense import dense_optimizer


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "sgd"])
def test_equals_the_keras_optimizer_of_that_name(name):
    values = np.array([[1.0, -2.0]], np.float32)
    ours, theirs = keras.Variable(values, name="bias"), keras.Variable(values)
    optimizer = dense_optimizer(DenseOptimizer(name=name, learning_rate=0.1), [ours])
    reference = keras.optimizers.get({"class_name": name, "config": {}})
    reference.learning_rate = 0.1
    for _ in range(3):
        gradient = tf.constant([[0.5, 2.0]])
        optimizer.apply([gradient], [ours])
        if name == "adamw":
            reference.weight_decay = 0.0
        reference.apply([gradient], [theirs])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5)


def test_weight_decay_is_of_kernels_only():
    kernel = keras.Variable(np.ones((2, 2), np.float32), name="kernel")
    bias = keras.Variable(np.ones(2, np.float32), name="bias")
    options = DenseOptimizer(name="adamw", learning_rate=0.1, weight_decay=0.5)
    optimizer = dense_optimizer(options, [kernel, bias])
    optimizer.apply([tf.zeros([2, 2]), tf.zeros([2])], [kernel, bias])
    np.testing.assert_allclose(kernel.numpy(), 1.0 - 0.1 * 0.5)
    np.testing.assert_allclose(bias.numpy(), 1.0)


def test_clipping_is_of_the_common_norm():
    gradients = [tf.constant([3.0]), tf.constant([4.0])]
    square = square_norm(gradients)
    assert float(square) == pytest.approx(25.0)
    share = share_within(1.0, square)
    np.testing.assert_allclose([float(share * x[0]) for x in gradients], [0.6, 0.8])
    assert float(share_within(6.0, square)) == 1.0
    assert float(square_norm([])) == 0.0
