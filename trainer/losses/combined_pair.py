"""Combined-Pair: cross-entropy and RankNet together (KDD 2024, eq. 4)."""

from typing import Any

import keras
import tensorflow as tf

from trainer.losses.base import Loss
from trainer.losses.bce import BinaryCrossEntropy
from trainer.losses.ranknet import RankNet

__all__ = ["CombinedPair"]


@keras.saving.register_keras_serializable(package="pairstream")
class CombinedPair(Loss):
    """alpha * BCE + (1 - alpha) * RankNet.

    For negatives both gradients push the logit down, and while positives have logits
    below 0 RankNet's is the larger: it is what negatives learn from under sparse
    feedback. Denominators are those of `BinaryCrossEntropy` and `RankNet`.

    Args:
        alpha: share of the cross-entropy, from 0 to 1.
        beta: weight of positives in the cross-entropy.
    """

    def __init__(
        self,
        alpha: float = 0.9,
        beta: float = 1.0,
        *,
        name: str = "combined_pair",
        **arguments: Any,
    ) -> None:
        super().__init__(name=name, **arguments)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        self.alpha = alpha
        self.beta = beta
        self._bce = BinaryCrossEntropy(beta)
        self._ranknet = RankNet()

    def per_example(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the two losses of each row, mixed."""
        # A term without weight is left out: 0 * inf is not 0.
        losses = tf.zeros_like(logits)
        for share, loss in (
            (self.alpha, self._bce),
            (1.0 - self.alpha, self._ranknet),
        ):
            if share > 0.0:
                losses += share * loss.per_example(
                    logits, labels, weights=weights, mask=mask, contexts=contexts
                )
        return losses

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}
