import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.losses.cases import random_batch
from trainer.losses import RankNet


def test_uneven_upstream_gradients() -> None:
    """Keras may multiply the rows by sample weights: checked against autodiff."""
    batch = random_batch(RankNet(), count=16)
    labels, upstream = batch.labels, tf.constant(batch.weights)
    variable = tf.constant(batch.logits)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(variable)
        ours = tf.reduce_sum(upstream * RankNet().per_example(variable, labels))
        positives = tf.boolean_mask(variable, labels == 1.0)
        negatives = tf.boolean_mask(variable, labels == 0.0)
        matrix = tf.nn.softplus(negatives - positives[:, None])
        plain = 16.0 * tf.reduce_sum(
            tf.boolean_mask(upstream, labels == 1.0)
            * tf.reduce_mean(matrix, axis=1)
            / tf.cast(tf.size(positives), tf.float32)
        )
    assert float(ours) == pytest.approx(float(plain), rel=1e-6)
    np.testing.assert_allclose(
        tf.convert_to_tensor(tape.gradient(ours, variable)),
        tf.convert_to_tensor(tape.gradient(plain, variable)),
        rtol=1e-5,
    )
