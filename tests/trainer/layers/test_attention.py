import numpy as np
import pytest
import tensorflow as tf

from tests.oracles import networks as oracle
from trainer.layers.attention import SelfAttention, TargetAttention

LENGTHS = [0, 1, 3, 5]
MASK = np.arange(5) < np.array(LENGTHS)[:, None]


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention(causal: bool) -> None:
    layer = SelfAttention(3, 4, causal=causal, name="own", seed=0)
    values = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)
    result = layer(tf.constant(values), tf.constant(MASK)).numpy()
    weights = {v.path: v.numpy() for v in layer.variables}
    for i in range(4):
        expected = oracle.self_attention(values[i], MASK[i], weights, "own", causal)
        np.testing.assert_allclose(result[i], expected, rtol=1e-4, atol=1e-5)
    junk = np.where(MASK[:, :, None], values, 1e6).astype(np.float32)
    again = layer(tf.constant(junk), tf.constant(MASK)).numpy()
    np.testing.assert_allclose(again, result, rtol=1e-6)


def test_causal_states_do_not_see_the_future() -> None:
    layer = SelfAttention(3, 4, causal=True, name="own", seed=0)
    values = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
    mask = tf.ones((1, 5), tf.bool)
    before = layer(tf.constant(values), mask).numpy()
    values[0, 3:] += 9.0
    after = layer(tf.constant(values), mask).numpy()
    np.testing.assert_array_equal(after[0, :3], before[0, :3])
    assert not np.allclose(after[0, 3:], before[0, 3:])


def test_target_attention() -> None:
    layer = TargetAttention(3, [6, 4], name="unit", seed=0)
    random = np.random.default_rng(0)
    behaviours = random.normal(size=(4, 5, 3)).astype(np.float32)
    target = random.normal(size=(4, 3)).astype(np.float32)
    result = layer(*map(tf.constant, (behaviours, target, MASK))).numpy()
    weights = {v.path: v.numpy() for v in layer.variables}
    for i in range(4):
        expected = oracle.target_weights(
            behaviours[i], target[i], MASK[i], weights, "unit"
        )
        np.testing.assert_allclose(result[i], expected, rtol=1e-4, atol=1e-5)
