import numpy as np
import pytest
import tensorflow as tf

from tests.oracles import losses as oracle
from tests.trainer.losses.test_properties import rows, value_and_gradient
from trainer.losses import BinaryCrossEntropy, RankNet, pairs


def test_contexts_restrict_pairs() -> None:
    logits, labels, weights = rows(count=20)
    contexts = np.arange(20, dtype=np.int64) % 3
    value, _ = value_and_gradient(
        RankNet(),
        logits,
        labels,
        weights=tf.constant(weights),
        contexts=tf.constant(contexts),
    )
    assert value == pytest.approx(
        oracle.ranknet(
            logits.tolist(), labels.tolist(), weights.tolist(), contexts.tolist()
        ),
        rel=2e-6,
    )


def test_a_context_to_each_row_has_no_pairs() -> None:
    logits, labels, _ = rows()
    value, gradient = value_and_gradient(
        RankNet(), logits, labels, contexts=tf.range(12, dtype=tf.int64)
    )
    assert value == 0.0 and np.all(gradient == 0.0)


@pytest.mark.parametrize("tile", [1, 5, 64])
def test_tiles_change_nothing(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels, weights = rows(count=40)
    arguments = {"weights": tf.constant(weights)}
    expected, slopes = value_and_gradient(RankNet(), logits, labels, **arguments)
    monkeypatch.setattr(pairs, "TILE", tile)
    value, gradient = value_and_gradient(RankNet(), logits, labels, **arguments)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-8)


def test_gradients_of_negatives_exceed_those_of_cross_entropy() -> None:
    """KDD 2024, section 4: where all positives' logits are below 0."""
    logits, labels, _ = rows(count=30)
    logits = np.where(labels == 1.0, -np.abs(logits) - 0.1, logits - 1.0)
    _, pair = value_and_gradient(RankNet(), logits, labels)
    _, point = value_and_gradient(BinaryCrossEntropy(), logits, labels)
    negative, positive = labels == 0.0, labels == 1.0
    # As means over negatives: 1/(N+ N-) sum_i sigmoid(z_j - z_i) against p_j / N.
    assert np.all(pair[negative] > point[negative])
    assert np.all(np.sign(pair) == np.sign(point))
    probabilities = 1.0 / (1.0 + np.exp(-logits[negative]))
    np.testing.assert_allclose(point[negative], probabilities / 30, rtol=1e-5)
    between = logits[negative][:, None] - logits[positive][None, :]
    expected = (1.0 / (1.0 + np.exp(-between))).mean(axis=1) / negative.sum()
    np.testing.assert_allclose(pair[negative], expected, rtol=1e-5)


def test_uneven_upstream_gradients() -> None:
    """Keras may multiply the rows by sample weights: checked against autodiff."""
    logits, labels, weights = rows(count=16)
    labels_tensor, upstream = tf.constant(labels), tf.constant(weights)
    variable = tf.constant(logits)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(variable)
        ours = tf.reduce_sum(upstream * RankNet().per_example(variable, labels_tensor))
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
