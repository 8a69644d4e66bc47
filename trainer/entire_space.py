"""The head of a task over the entire space: its probability is a product (ESMM).

Legend: B batch, K factors: p(task) = p(first) p(second | first) ... p(task | last but
one), as of a click, a cart given the click, and a purchase given the cart.
"""

import keras
import tensorflow as tf

from trainer.layers.mlp import dense

__all__ = ["EntireSpace", "joint_logit"]


def joint_logit(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Returns the logit of sigmoid(first) * sigmoid(second), float32 [B].

    The odds of the product are 1 / (e^-a + e^-b + e^-(a + b)), so its logit is minus a
    logsumexp: no probability is made, none is subtracted from 1, and a cross-entropy on
    this logit is -log p and -log(1 - p) of the product in their stable form.
    """
    terms = tf.stack([-first, -second, -(first + second)], axis=-1)
    # As tf.reduce_logsumexp, without the StopGradient in it.
    largest = tf.reduce_max(terms, axis=-1, keepdims=True)
    total = tf.reduce_sum(tf.exp(terms - largest), axis=-1)
    return -(largest[..., 0] + tf.math.log(total))


class EntireSpace(keras.layers.Layer):  # type: ignore[misc]
    """A conditional logit, which the logits of the factors before it make a whole.

    Its outputs are the logits of all factors, so that losses reach all of them, and a
    correction of down-sampling reaches the one that it belongs to. The faces are those
    of the other heads (`trainer.heads.SingleLogit`).

    Args:
        width: of the hidden vector.
        sampled_factors: how many of the factors, from the first, make up the label
            whose negatives are dropped; None if it is none of them.
    """

    def __init__(
        self, width: int, *, sampled_factors: int | None, name: str, seed: int
    ) -> None:
        super().__init__(name=name)
        self._sampled_factors = sampled_factors
        self._dense = dense(1, width, name=f"{name}_logit", seed=seed)
        self.built = True

    def call(self, hidden: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """Adds the last factor.

        Args:
            hidden: float32 [B, width].
            before: float32 [B, K - 1], logits of the factors before it.

        Returns:
            float32 [B, K].
        """
        return tf.concat([before, self._dense(hidden)], axis=1)

    def start_at(self, logit: float) -> None:
        """Sets the bias, so that a fresh model predicts about sigmoid(`logit`) given
        the factors before."""
        self._dense.bias.assign([logit])

    def logit(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the product, float32 [B], of the outputs of `call`."""
        first, *others = tf.unstack(outputs, axis=1)
        for other in others:
            first = joint_logit(first, other)
        return first

    def conditional(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the logits given the factors before, float32 [B]."""
        return outputs[:, -1]

    def sampled(self, outputs: tf.Tensor, log_keep_rate: tf.Tensor) -> tf.Tensor:
        """Returns the outputs as seen where negatives were kept at rate r(x).

        The negatives of a product are a mixture: some had a click and were all kept,
        others were thinned, so no constant shift of the product's logit is right. Of
        the sampled label it is: its odds are the true ones over r. And behind it
        nothing changes, since its positives are all kept. So its logit is shifted, and
        then multiplied: p(click) of the sample times the true p(purchase | click).

        Args:
            outputs: of `call`.
            log_keep_rate: float32 [B], ln r of each row.

        Returns:
            float32 [B, K or less]: the factors of the sampled label became one.
        """
        if self._sampled_factors is None:
            raise ValueError(f"{self.name}: negatives of no factor are dropped")
        sampled = self.logit(outputs[:, : self._sampled_factors]) - log_keep_rate
        later = outputs[:, self._sampled_factors :]
        return tf.concat([sampled[:, tf.newaxis], later], axis=1)
