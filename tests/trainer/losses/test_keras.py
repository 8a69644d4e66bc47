"""The losses in ordinary Keras code."""

from pathlib import Path

import keras
import numpy as np
import pytest

from configs.losses import CombinedPair as Config
from tests.oracles import losses as oracle
from trainer.losses import LOSSES, BinaryCrossEntropy, CombinedPair, build_loss


def test_compile_fit_save_and_load(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    features = random.normal(size=(64, 3)).astype(np.float32)
    labels = (features[:, :1] > 0.3).astype(np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", loss=CombinedPair(alpha=0.9))
    history = model.fit(features, labels, batch_size=64, epochs=5, verbose=0)
    losses = history.history["loss"]
    assert losses[-1] < losses[0]
    logits = model.predict(features, verbose=0)[:, 0].tolist()
    expected = oracle.combined_pair(logits, labels[:, 0].tolist(), [1.0] * 64)
    value = model.evaluate(features, labels, batch_size=64, verbose=0)
    assert value == pytest.approx(expected, rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.get_config() == model.loss.get_config()
    np.testing.assert_array_equal(
        again.predict(features, verbose=0), model.predict(features, verbose=0)
    )


def test_registry_passes_the_section() -> None:
    loss = build_loss(Config(name="combined_pair", alpha=0.6, beta=0.2, weight=3.0))
    assert isinstance(loss, CombinedPair)
    assert (loss.alpha, loss.beta) == (0.6, 0.2)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got 1.5"):
        CombinedPair(alpha=1.5)
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        BinaryCrossEntropy(beta=0.0)


ALONE = [name for name, kind in LOSSES.items() if not (kind.extras or kind.two_logits)]


@pytest.mark.parametrize("name", ALONE)
def test_call_is_the_mean_over_rows(name: str) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(12, 1)).astype(np.float32)
    labels = (np.arange(12) % 3 == 0).astype(np.int64)[:, np.newaxis]
    loss = LOSSES[name]()
    rows = loss.per_example(logits[:, 0], labels[:, 0].astype(np.float32)).numpy()
    assert float(loss(labels, logits)) == pytest.approx(rows.mean(), rel=1e-6)
    # Keras multiplies what a row gives by its sample weight.
    weights = random.uniform(size=12).astype(np.float32)
    expected = (rows * weights).mean()
    assert float(loss(labels, logits, weights)) == pytest.approx(expected, rel=1e-5)


def test_what_compile_cannot_give_is_named() -> None:
    logits, labels = np.zeros((4, 2), np.float32), np.zeros((4, 1), np.float32)
    for name in set(LOSSES) - set(ALONE):
        with pytest.raises(TypeError, match=r"needs .*call its `per_example`"):
            LOSSES[name]()(labels, logits)
