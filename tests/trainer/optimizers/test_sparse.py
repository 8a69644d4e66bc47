"""Table optimizers against NumPy, one row at a time, and against dense optimizers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from configs.training import EmbeddingOptimizer, Schedule
from trainer.optimizers.clipping import share_within, square_norm
from trainer.optimizers.registry import sparse_optimizer
from trainer.optimizers.rows import Rows, gather_rows

ROWS, DIM, RATE = 9, 3, 0.05
SPARSE = ["rowwise_adagrad", "adagrad", "lazy_adam", "ftrl", "sgd"]
NAMES = [*SPARSE, "adam"]


class Oracle:
    """The formulas of the docstrings, element by element in float64."""

    def __init__(self, name, table, *, l1=0.0, l2=0.0, weight_decay=0.0):
        self.name, self.table = name, table.astype(np.float64)
        self.l1, self.l2, self.weight_decay = l1, l2, weight_decay
        self.epsilon = 1e-7 if "adam" in name else 1e-10
        self.a = np.full((ROWS, DIM), 0.1)
        self.row_a = np.full(ROWS, 0.1)
        self.m, self.v = np.zeros((ROWS, DIM)), np.zeros((ROWS, DIM))
        self.z = -self.table * (np.sqrt(0.1) + 1e-10) / RATE
        self.t = 0

    def step(self, ids, gradients, scale=1.0):
        self.t += 1
        summed = {}
        for row, gradient in zip(ids, gradients, strict=True):
            summed[row] = summed.get(row, 0.0) + gradient.astype(np.float64)
        rows = range(ROWS) if self.name == "adam" else summed
        for row in rows:
            before = self.table[row].copy()
            g = summed.get(row, np.zeros(DIM))
            if row in summed:
                g = g + self.l2 * before
            self.table[row] -= self.change(row, g, RATE * scale)
            if row in summed:
                self.table[row] -= RATE * scale * self.weight_decay * before

    def change(self, row, g, rate):
        if self.name == "rowwise_adagrad":
            self.row_a[row] += sum(x * x for x in g) / DIM
            return rate * g / (np.sqrt(self.row_a[row]) + self.epsilon)
        if self.name == "adagrad":
            self.a[row] += g * g
            return rate * g / (np.sqrt(self.a[row]) + self.epsilon)
        if self.name.endswith("adam"):
            self.m[row] = 0.9 * self.m[row] + 0.1 * g
            self.v[row] = 0.999 * self.v[row] + 0.001 * g * g
            m = self.m[row] / (1 - 0.9**self.t)
            root = np.sqrt(self.v[row]) / np.sqrt(1 - 0.999**self.t)
            # Epsilon stands beside the uncorrected root.
            return rate * m / (root + self.epsilon / np.sqrt(1 - 0.999**self.t))
        if self.name == "ftrl":
            return self.table[row] - self.proximal(row, g, rate)
        return rate * g

    def proximal(self, row, g, rate):
        """McMahan et al. 2013, algorithm 1, for a constant rate."""
        after = self.a[row] + g * g
        sigma = (np.sqrt(after) - np.sqrt(self.a[row])) / rate
        self.z[row] += g - sigma * self.table[row]
        self.a[row] = after
        weights = np.zeros(DIM)
        for k, z in enumerate(self.z[row]):
            if abs(z) > self.l1:
                learning = (np.sqrt(after[k]) + self.epsilon) / rate
                weights[k] = -(z - np.sign(z) * self.l1) / learning
        return weights


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


def random_table(seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, DIM)).astype(np.float32)


CASES = [(name, {}) for name in NAMES]
CASES += [(name, {"l2": 0.3}) for name in NAMES]
CASES += [(name, {"weight_decay": 0.2}) for name in NAMES if name != "ftrl"]
CASES += [("ftrl", {"l2": 0.1, "l1": 0.4})]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_equals_the_formula_row_by_row(name, options):
    rng = np.random.default_rng(0)
    table = random_table()
    optimizer, variable = make(name, table, **options)
    oracle = Oracle(name, table, **options)
    for step in range(6):
        ids = rng.integers(0, 5, 7)  # with repetitions; rows 5 to 8 never occur
        gradients = rng.normal(size=(7, DIM)).astype(np.float32)
        scale = 1.0 if step < 3 or name == "ftrl" else 0.1
        apply(optimizer, variable, ids, gradients, scale)
        oracle.step(ids, gradients, scale)
    np.testing.assert_allclose(variable.numpy(), oracle.table, rtol=2e-5, atol=2e-6)
    if name != "adam":
        np.testing.assert_array_equal(variable.numpy()[5:], table[5:])


def dense_gradients():
    """Ids with repetitions, their gradients, and the same as a dense gradient."""
    for step in range(4):
        ids = np.array([step, 2, step])
        gradients = np.full((3, DIM), 0.5 + step, np.float32)
        whole = np.zeros((ROWS, DIM), np.float32)
        np.add.at(whole, ids, gradients)
        yield ids, gradients, tf.constant(whole)


def test_adagrad_equals_tensorflows_dense_adagrad_with_epsilon_beside_the_root():
    table = random_table(1)
    optimizer, variable = make("adagrad", table, epsilon=0.25)
    dense, accumulator = tf.Variable(table), tf.Variable(tf.fill([ROWS, DIM], 0.1))
    for ids, gradients, whole in dense_gradients():
        apply(optimizer, variable, ids, gradients)
        tf.raw_ops.ResourceApplyAdagradV2(
            var=dense.handle,
            accum=accumulator.handle,
            lr=RATE,
            epsilon=0.25,
            grad=whole,
        )
    np.testing.assert_allclose(variable.numpy(), dense.numpy(), rtol=1e-5)


def test_adagrad_still_adapts_to_the_gradients_of_a_mean_over_thousands():
    # Squares of 1e-10: under the root an epsilon of 1e-7 would hide them.
    optimizer, variable = make(
        "adagrad", np.zeros((ROWS, DIM), np.float32), initial_accumulator=0.0
    )
    apply(optimizer, variable, np.array([1]), np.full((1, DIM), 1e-5, np.float32))
    np.testing.assert_allclose(variable.numpy()[1], -RATE, rtol=1e-4)


def test_dense_adam_equals_keras_adam_on_every_row():
    table = random_table(1)
    optimizer, variable = make("adam", table)
    dense, keras_adam = keras.Variable(table), keras.optimizers.Adam(RATE)
    for ids, gradients, whole in dense_gradients():
        apply(optimizer, variable, ids, gradients)
        keras_adam.apply([whole], [dense])
    np.testing.assert_allclose(variable.numpy(), dense.numpy(), rtol=1e-4, atol=3e-6)
    assert np.all(variable.numpy()[2] != table[2])


def test_ftrl_equals_keras_ftrl():
    table = np.zeros((ROWS, DIM), np.float32)
    optimizer, variable = make("ftrl", table, l1=0.5, epsilon=1e-12)
    dense = keras.Variable(table)
    keras_ftrl = keras.optimizers.Ftrl(RATE, l1_regularization_strength=0.5)
    for ids, gradients, whole in dense_gradients():
        apply(optimizer, variable, ids, gradients)
        keras_ftrl.apply([whole], [dense])
    np.testing.assert_allclose(variable.numpy(), dense.numpy(), rtol=1e-5, atol=1e-8)


def test_ftrl_without_l1_equals_adagrad_under_a_moving_rate():
    table = random_table(2)
    ftrl, first = make("ftrl", table)
    adagrad, second = make("adagrad", table)
    for scale, (ids, gradients, _) in zip(
        (1.0, 0.1, 0.5, 2.0), dense_gradients(), strict=True
    ):
        apply(ftrl, first, ids, gradients, scale)
        apply(adagrad, second, ids, gradients, scale)
    np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-4, atol=1e-6)


def test_ftrl_sets_weights_to_exactly_zero():
    optimizer, variable = make("ftrl", random_table(), l1=100.0)
    apply(optimizer, variable, np.array([1]), np.ones((1, DIM), np.float32))
    np.testing.assert_array_equal(variable.numpy()[1], 0.0)


@pytest.mark.parametrize("name", SPARSE)
def test_an_empty_batch_changes_nothing(name):
    table = np.ones((ROWS, DIM), np.float32)
    optimizer, variable = make(name, table)
    apply(optimizer, variable, np.zeros(0, np.int64), np.zeros((0, DIM), np.float32))
    np.testing.assert_array_equal(variable.numpy(), table)


@pytest.mark.parametrize(
    ("name", "slots", "values"),
    [
        ("rowwise_adagrad", ["accumulator"], ROWS),
        ("adagrad", ["accumulator"], ROWS * DIM),
        ("lazy_adam", ["momentum", "velocity"], 2 * ROWS * DIM),
        ("adam", ["momentum", "velocity"], 2 * ROWS * DIM),
        ("ftrl", ["accumulator", "linear"], 2 * ROWS * DIM),
        ("sgd", [], 0),
    ],
)
def test_slots_are_named_and_counted(name, slots, values):
    optimizer, _ = make(name, np.ones((ROWS, DIM), np.float32))
    assert optimizer.slot_bytes() == 4 * values
    named = optimizer.variables(["t"])
    assert set(named) == {"steps"} | {f"{slot}/t" for slot in slots}


def test_a_table_that_took_no_part_is_left_alone():
    optimizer, variable = make("sgd", np.ones((ROWS, DIM), np.float32))
    optimizer.apply([None], tf.constant(1.0))
    np.testing.assert_array_equal(variable.numpy(), 1.0)


def test_the_schedule_is_of_the_updates_made():
    schedule = Schedule(name="linear", warmup_steps=2, decay_steps=2, final_share=0.5)
    optimizer, variable = make("sgd", np.zeros((ROWS, DIM), np.float32))
    optimizer.options = optimizer.options.model_copy(update={"schedule": schedule})
    seen = [0.0]
    for _ in range(5):
        apply(optimizer, variable, np.array([4]), -np.ones((1, DIM), np.float32))
        seen.append(float(variable.numpy()[4, 0]))
    expected = RATE * np.array([0.5, 1.0, 1.0, 0.75, 0.5])
    np.testing.assert_allclose(np.diff(seen), expected, rtol=1e-5)


def test_clipping_knows_the_rows_of_the_batch_alone():
    rows = gather_rows(
        tf.IndexedSlices(tf.constant([[1.0], [2.0], [4.0]]), tf.constant([3, 3, 5]))
    )
    square = square_norm([rows.gradients])
    assert float(square) == pytest.approx(3.0**2 + 4.0**2)
    clipped = Rows(rows.ids, share_within(1.0, square) * rows.gradients)
    np.testing.assert_allclose(clipped.gradients.numpy(), [[0.6], [0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "adagrad", "l1": 0.1}, "use ftrl"),
        ({"name": "ftrl", "weight_decay": 0.1}, "use l2"),
    ],
)
def test_options_without_effect_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        EmbeddingOptimizer(**options)
