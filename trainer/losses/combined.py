"""What the combined losses share: a pointwise and a ranking term, mixed."""

from typing import Any, ClassVar

import tensorflow as tf

from trainer.losses.base import Loss
from trainer.losses.bce import BinaryCrossEntropy

__all__ = ["Combined"]


class Combined(Loss):
    """alpha * pointwise term + (1 - alpha) * ranking term (KDD 2024, eq. 4).

    Subclasses give `ranking`; the pointwise term is the cross-entropy unless they give
    another. A term whose share is 0 is left out: 0 * inf is not 0.

    Args:
        alpha: share of the pointwise term, from 0 to 1.
        beta: weight of positives in the pointwise term alone; ranking terms see
            positives and negatives as they are.
        name: `default_name` of the class, unless given.
    """

    default_name: ClassVar[str]

    def __init__(
        self,
        alpha: float = 0.9,
        beta: float = 1.0,
        *,
        name: str | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(name=name or self.default_name, **arguments)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
        self.alpha = alpha
        self.beta = beta
        self._cross_entropy = BinaryCrossEntropy(beta)

    def per_example(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
        **extras: Any,
    ) -> tf.Tensor:
        """Returns the two terms of each row, mixed."""
        terms = []
        if self.alpha > 0.0:
            pointwise = self.pointwise(logits, labels, weights=weights, mask=mask)
            terms.append(self.alpha * pointwise)
        if self.alpha < 1.0:
            ranking = self.ranking(
                logits, labels, weights=weights, mask=mask, contexts=contexts, **extras
            )
            terms.append((1.0 - self.alpha) * ranking)
        return tf.add_n(terms)

    def pointwise(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns the pointwise term of each row, as `per_example` would."""
        return self._cross_entropy.per_example(
            logits, labels, weights=weights, mask=mask
        )

    def ranking(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        mask: tf.Tensor | None,
        contexts: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns the ranking term of each row, as `per_example` would."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta}
