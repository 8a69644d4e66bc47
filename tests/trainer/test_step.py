"""The step: a bad one changes nothing, learning rates move together."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.training import DenseOptimizer, EmbeddingOptimizer
from trainer.optimizers.dense import dense_optimizer
from trainer.optimizers.registry import sparse_optimizer
from trainer.step import TrainingStep

SPEC = {"ids": tf.TensorSpec([None], tf.int64), "x": tf.TensorSpec([None], tf.float32)}


class Linear:
    """loss = sum of x * table[ids] * weight."""

    def __init__(self):
        self.table_variables = [keras.Variable(np.ones((4, 1), np.float32))]
        self.dense_variables = [keras.Variable(np.float32(2.0), name="kernel")]

    def compute_losses(self, batch, training=True):
        rows = tf.gather(self.table_variables[0].value, batch["ids"])[:, 0]
        loss = tf.reduce_sum(batch["x"] * rows) * self.dense_variables[0].value
        return {"loss": loss, "half": loss / 2.0}


def make(dense="sgd", tables="sgd", tables_clip_norm=None, **options):
    model = Linear()
    optimizer = dense_optimizer(
        DenseOptimizer(name=dense, learning_rate=0.1), model.dense_variables
    )
    sparse = sparse_optimizer(
        EmbeddingOptimizer(name=tables, learning_rate=0.1, clip_norm=tables_clip_norm)
    )
    sparse.build(model.table_variables)
    step = TrainingStep(
        model, dense=optimizer, tables=sparse, element_spec=(SPEC,), **options
    )
    return model, step


def values_of(model, step):
    variables = [
        *model.table_variables,
        *model.dense_variables,
        *step.dense.variables,
        *step.tables.variables(["t"]).values(),
        step.skipped,
        step.skipped_in_a_row,
    ]
    return [np.array(variable) for variable in variables]


def batch(ids, x):
    return ({"ids": tf.constant(ids, tf.int64), "x": tf.constant(x, tf.float32)},)


def test_one_step_by_hand():
    model, step = make()
    step(batch([1, 1, 3], [1.0, 2.0, 4.0]))
    # d loss / d weight = 7; d loss / d table[1] = 2 * 3, table[3] = 2 * 4.
    assert float(model.dense_variables[0].numpy()) == pytest.approx(2.0 - 0.7)
    np.testing.assert_allclose(
        model.table_variables[0].numpy()[:, 0], [1.0, 1.0 - 0.6, 1.0, 1.0 - 0.8]
    )
    assert step.loss_names == ("loss", "half")
    assert step.sums() == [1.0, 14.0, 7.0]


def test_clipping_is_of_dense_gradients_alone():
    model, step = make(clip_norm=1.0)
    step(batch([1], [7.0]))
    assert float(model.dense_variables[0].numpy()) == pytest.approx(2.0 - 0.1)
    assert float(model.table_variables[0].numpy()[1, 0]) == pytest.approx(1.0 - 1.4)


def test_clipping_of_tables_sees_summed_rows_and_leaves_the_dense_alone():
    model, step = make(tables_clip_norm=1.0)
    step(batch([1, 1, 3], [1.0, 2.0, 4.0]))
    # The gradients of the rows, 6 and 8, have the norm 10.
    np.testing.assert_allclose(
        model.table_variables[0].numpy()[:, 0], [1.0, 1.0 - 0.06, 1.0, 1.0 - 0.08]
    )
    assert float(model.dense_variables[0].numpy()) == pytest.approx(2.0 - 0.7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(bad):
    model, step = make("adam", "lazy_adam")
    step(batch([1], [1.0]))
    before = values_of(model, step)[:-2]
    sums = step.sums()
    for _ in range(3):
        step(batch([1, 2], [1.0, bad]))
    for old, new in zip(before, values_of(model, step)[:-2], strict=True):
        np.testing.assert_array_equal(old, new)
    assert int(step.skipped) == int(step.skipped_in_a_row) == 3
    assert step.sums() == sums
    step(batch([1], [1.0]))
    assert int(step.skipped) == 3
    assert int(step.skipped_in_a_row) == 0


def test_a_callback_that_sets_the_learning_rate_scales_both():
    model, step = make()
    step.dense.learning_rate = 0.05
    step(batch([1], [1.0]))
    assert float(model.dense_variables[0].numpy()) == pytest.approx(2.0 - 0.05)
    assert float(model.table_variables[0].numpy()[1, 0]) == pytest.approx(1.0 - 0.1)


def test_sums_go_on_from_a_checkpoint():
    _, step = make()
    step.reset_sums([2.0, 10.0, 5.0])
    step(batch([0], [0.0]))
    assert step.sums() == [3.0, 10.0, 5.0]
    step.reset_sums()
    assert step.sums() == []


def test_no_good_step_hides_too_many_bad_ones_in_a_row():
    model, step = make(max_bad_steps=3)
    bad, good = batch([1], [np.nan]), batch([1], [1.0])
    for shares in (bad, bad, good, bad, bad):
        step(shares)
    assert int(step.skipped_in_a_row) == 2
    weight = float(model.dense_variables[0].numpy())
    step(bad)
    step(good)
    assert int(step.skipped_in_a_row) == 4
    assert float(model.dense_variables[0].numpy()) == weight


def test_several_steps_a_call_are_the_same_steps():
    random = np.random.default_rng(0)
    batches = [
        batch(random.integers(0, 4, 5), random.normal(size=5).astype(np.float32))
        for _ in range(7)
    ]
    batches[4] = batch([0, 1], [np.inf, 1.0])
    one, single = make("adam", "lazy_adam")
    three, triple = make("adam", "lazy_adam", steps_per_call=3)
    for shares in batches:
        single(shares)
    triple(*batches[:3])
    triple(*batches[3:6])
    triple(batches[6])
    assert single.sums() == triple.sums()
    assert single.sums()[0] == 6.0
    for first, second in zip(
        values_of(one, single), values_of(three, triple), strict=True
    ):
        np.testing.assert_array_equal(first, second)
