"""Heads: from a hidden vector to the outputs of a task, and to its one true logit."""

from typing import Any

import keras
import tensorflow as tf

from trainer.layers.mlp import dense

__all__ = ["HEADS", "SingleLogit", "TwoLogits", "build_head"]


class SingleLogit(keras.layers.Layer):  # type: ignore[misc]
    """One logit z, with p = sigmoid(z).

    A head has three faces: `call` gives what the losses train on, `logit` the one true
    logit that is served, and `sampled` its outputs as they are in a sample whose
    negatives were kept at a rate r. A head with two logits differs in all three.

    Args:
        width: of the hidden vector.
        from_score: whether the hidden vector already is a logit up to a bias.
        scores: numbers at the front of the hidden vector that are logits: their weight
            starts at 1.
    """

    def __init__(
        self,
        width: int,
        *,
        from_score: bool,
        name: str,
        seed: int,
        scores: int = 0,
    ) -> None:
        super().__init__(name=name)
        self._dense: keras.layers.Dense | None = None
        self._bias: keras.Variable | None = None
        if from_score:
            self._bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")
        else:
            self._dense = dense(1, width, name=f"{name}_logit", seed=seed)
            _start_scores(self._dense, scores, [1.0])
        self.built = True

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, width] to the outputs, here the true logits [B]."""
        if self._dense is not None:
            return self._dense(hidden)[:, 0]
        return hidden[:, 0] if self._bias is None else hidden[:, 0] + self._bias.value

    def start_at(self, logit: float) -> None:
        """Sets the bias, so that a fresh model predicts about sigmoid(`logit`)."""
        bias = self._bias if self._dense is None else self._dense.bias
        if bias is not None:
            bias.assign([logit])

    def logit(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the true logits, float32 [B], of the outputs of `call`."""
        return outputs

    def sampled(self, outputs: tf.Tensor, log_keep_rate: tf.Tensor) -> tf.Tensor:
        """Returns the outputs as seen where negatives were kept at rate r(x).

        Odds there are the true odds divided by r, so z becomes z - ln r, for positives
        and negatives alike (He et al. 2014).

        Args:
            outputs: of `call`.
            log_keep_rate: float32 [B], ln r of each row.
        """
        return outputs - log_keep_rate


class TwoLogits(keras.layers.Layer):  # type: ignore[misc]
    """A logit z0 of no click and a logit z1 of a click, with p = sigmoid(z1 - z0).

    JRC trains on both; what is served is the one probability, as of any other head.

    Args:
        width: of the hidden vector.
        from_score: must be False: a score is one number.
        scores: numbers at the front of the hidden vector that are logits: their weight
            in z1 - z0 starts at 1.
    """

    def __init__(
        self,
        width: int,
        *,
        from_score: bool,
        name: str,
        seed: int,
        scores: int = 0,
    ) -> None:
        super().__init__(name=name)
        if from_score:
            raise ValueError(f"{name}: two logits need a hidden vector, not a score")
        self._dense = dense(2, width, name=f"{name}_logits", seed=seed)
        _start_scores(self._dense, scores, [-0.5, 0.5])
        self.built = True

    def call(self, hidden: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, width] to [B, 2], the true logits of no click and click."""
        return self._dense(hidden)

    def start_at(self, logit: float) -> None:
        """Sets the biases, so that a fresh model predicts about sigmoid(`logit`)."""
        self._dense.bias.assign([-0.5 * logit, 0.5 * logit])

    def logit(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns z1 - z0, float32 [B], of the outputs of `call`."""
        return outputs[:, 1] - outputs[:, 0]

    def sampled(self, outputs: tf.Tensor, log_keep_rate: tf.Tensor) -> tf.Tensor:
        """Returns the outputs as seen where negatives were kept at rate r(x).

        Sampling thins p(x | no click) alone, so z0 becomes z0 + ln r and z1 stays; the
        logit z1 - z0 is then z - ln r, as of a single logit.

        Args:
            outputs: of `call`.
            log_keep_rate: float32 [B], ln r of each row.
        """
        return outputs + tf.stack([log_keep_rate, tf.zeros_like(log_keep_rate)], axis=1)


HEADS: dict[str, Any] = {"single_logit": SingleLogit, "two_logits": TwoLogits}


def build_head(
    head: str, width: int, *, from_score: bool, name: str, seed: int, scores: int = 0
) -> keras.layers.Layer:
    """Returns the head called `head`, as a layer called `name`."""
    return HEADS[head](
        width, from_score=from_score, name=name, seed=seed, scores=scores
    )


def _start_scores(layer: keras.layers.Dense, scores: int, weights: list[float]) -> None:
    """Sets the weights of the first `scores` inputs, one for each output."""
    if scores:
        kernel = layer.kernel.value
        layer.kernel.assign(tf.concat([[weights] * scores, kernel[scores:]], axis=0))
