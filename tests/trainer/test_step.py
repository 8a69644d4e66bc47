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


def make(dense="sgd", tables="sgd", clip_norm=None):
    model = Linear()
    optimizer = dense_optimizer(
        DenseOptimizer(name=dense, learning_rate=0.1), model.dense_variables
    )
    sparse = sparse_optimizer(EmbeddingOptimizer(name=tables, learning_rate=0.1))
    sparse.build(model.table_variables)
    step = TrainingStep(
        model,
        dense=optimizer,
        tables=sparse,
        clip_norm=clip_norm,
        element_spec=(SPEC,),
    )
    return model, step


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


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(bad):
    model, step = make("adam", "lazy_adam")
    step(batch([1], [1.0]))
    variables = [
        *model.table_variables,
        *model.dense_variables,
        *step.dense.variables,
        *step.tables.variables(["t"]).values(),
    ]
    before = [np.array(v) for v in variables]
    sums = step.sums()
    for _ in range(3):
        step(batch([1, 2], [1.0, bad]))
    for old, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(old, np.array(variable))
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
