"""The losses in ordinary Keras code."""

from pathlib import Path

import keras
import numpy as np
import pytest

from configs.losses import CombinedPair as Config
from tests.oracles import losses as oracle
from trainer.losses import BinaryCrossEntropy, CombinedPair, build_loss


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
