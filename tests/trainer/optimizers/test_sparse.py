"""Sparse optimizers against NumPy, one row at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.training import EmbeddingOptimizer
from trainer.optimizers.registry import sparse_optimizer
from trainer.optimizers.rows import gather_rows

ROWS, DIM, RATE = 9, 3, 0.05
NAMES = ["rowwise_adagrad", "adagrad", "lazy_adam", "sgd"]


class Oracle:
    """The formulas of the docstrings, row by row in float64."""

    def __init__(self, name, table, l2=0.0):
        self.name, self.table, self.l2 = name, table.astype(np.float64), l2
        self.a = np.full((ROWS, DIM), 0.1)
        self.row_a = np.full(ROWS, 0.1)
        self.m, self.v = np.zeros((ROWS, DIM)), np.zeros((ROWS, DIM))
        self.t = 0

    def step(self, ids, gradients, scale=1.0):
        self.t += 1
        summed = {}
        for row, gradient in zip(ids, gradients, strict=True):
            summed[row] = summed.get(row, 0.0) + gradient.astype(np.float64)
        for row, g in summed.items():
            g = g + self.l2 * self.table[row]
            self.table[row] -= RATE * scale * self.change(row, g)

    def change(self, row, g):
        if self.name == "rowwise_adagrad":
            self.row_a[row] += sum(x * x for x in g) / DIM
            return g / np.sqrt(self.row_a[row] + 1e-7)
        if self.name == "adagrad":
            self.a[row] += g * g
            return g / np.sqrt(self.a[row] + 1e-7)
        if self.name == "lazy_adam":
            self.m[row] = 0.9 * self.m[row] + 0.1 * g
            self.v[row] = 0.999 * self.v[row] + 0.001 * g * g
            m = self.m[row] / (1 - 0.9**self.t)
            root = np.sqrt(self.v[row]) / np.sqrt(1 - 0.999**self.t)
            # Epsilon stands beside the uncorrected root.
            return m / (root + 1e-7 / np.sqrt(1 - 0.999**self.t))
        return g


def make(name, table, **options):
    options = {"learning_rate": RATE, "initial_accumulator": 0.1, **options}
    optimizer = sparse_optimizer(EmbeddingOptimizer(name=name, **options))
    variable = keras.Variable(table)
    optimizer.build([variable])
    return optimizer, variable


def apply(optimizer, variable, ids, gradients, scale=1.0):
    @tf.function
    def step():
        slices = tf.IndexedSlices(tf.constant(gradients), tf.constant(ids))
        optimizer.apply([gather_rows(slices)], tf.constant(scale))

    step()


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_formula_row_by_row(name, l2):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(ROWS, DIM)).astype(np.float32)
    optimizer, variable = make(name, table, l2=l2)
    oracle = Oracle(name, table, l2)
    for step in range(6):
        ids = rng.integers(0, 5, 7)  # with repetitions; rows 5 to 8 never occur
        gradients = rng.normal(size=(7, DIM)).astype(np.float32)
        scale = 1.0 if step < 3 else 0.1
        apply(optimizer, variable, ids, gradients, scale)
        oracle.step(ids, gradients, scale)
    np.testing.assert_allclose(variable.numpy(), oracle.table, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(variable.numpy()[5:], table[5:])


def test_adagrad_equals_keras_dense_adagrad():
    table = np.random.default_rng(1).normal(size=(ROWS, DIM)).astype(np.float32)
    optimizer, variable = make("adagrad", table)
    dense = keras.Variable(table)
    keras_adagrad = keras.optimizers.Adagrad(RATE)
    for step in range(4):
        ids = np.array([step, 2, step])
        gradients = np.full((3, DIM), 0.5 + step, np.float32)
        apply(optimizer, variable, ids, gradients)
        whole = np.zeros((ROWS, DIM), np.float32)
        np.add.at(whole, ids, gradients)
        keras_adagrad.apply([tf.constant(whole)], [dense])
    np.testing.assert_allclose(variable.numpy(), dense.numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_changes_nothing(name):
    table = np.ones((ROWS, DIM), np.float32)
    optimizer, variable = make(name, table)
    apply(optimizer, variable, np.zeros(0, np.int64), np.zeros((0, DIM), np.float32))
    np.testing.assert_array_equal(variable.numpy(), table)


@pytest.mark.parametrize(
    ("name", "values"),
    [("rowwise_adagrad", ROWS), ("adagrad", ROWS * DIM), ("sgd", 0)],
)
def test_slots_are_named_and_counted(name, values):
    optimizer, _ = make(name, np.ones((ROWS, DIM), np.float32))
    assert optimizer.slot_bytes() == 4 * values
    expected = {"steps"} | ({"accumulator/t"} if values else set())
    assert set(optimizer.variables(["t"])) == expected


def test_a_table_that_took_no_part_is_left_alone():
    optimizer, variable = make("sgd", np.ones((ROWS, DIM), np.float32))
    optimizer.apply([None], tf.constant(1.0))
    np.testing.assert_array_equal(variable.numpy(), 1.0)
