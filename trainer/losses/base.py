"""What all losses have in common: their arguments, masks and the reduction.

Legend: B rows of a batch, n rows that the mask leaves.

Contexts (sessions, requests, users) restrict ranking terms, and all of them by one
rule. A term that is a mean over pairs, over positives or over rows stays one mean over
all of them in the batch, of which only those inside a context count: contexts are
pooled, the value is no mean of the contexts' own means. So a context weighs what its
pairs weigh, and one without any pair weighs nothing:

    pairs       sum of w_i w_j f(i, j) over the pairs of rows in the same context,
                divided by the sum of w_i w_j over those pairs
    lists       weighted mean over all positives of -log softmax, whose denominator runs
                over the rows of the positive's own context
    rows        weighted mean over all rows, each with a logsumexp over its own context

Contexts therefore give what separate batches would, averaged by the weight of their
pairs (their positives, their rows).

Over replicas, a loss whose rows see each other (`in_batch`) is given the gathered rows
of all of them, and its results for a replica's own rows are that replica's share. Where
the cost grows faster than the batch (`takes_own`), `per_example` has one more keyword,
`own`: the place of the own rows in the batch (`trainer.collectives.Share`). It then
computes and returns these rows alone, as anchors, against all rows.
"""

from typing import Any, ClassVar

import keras
import tensorflow as tf

__all__ = ["Loss", "apply_mask", "as_float32", "mean_loss", "row_mask", "rows_left"]


class Loss(keras.losses.Loss):  # type: ignore[misc]
    """A loss on logits; usable in `model.compile` like any Keras loss.

    Subclasses give `per_example`. Its result is such that the sum over the rows divided
    by n is the loss: a mean over pairs is spread over the rows that way.

    Attributes:
        extras: what `per_example` takes beyond the common arguments, by keyword:
            `hidden`, float32 [B, H], the last hidden vectors; `conversions`, float32
            [B], a second label. A loss with extras has no `call`.
        two_logits: whether `logits` are float32 [B, 2], of no click and of click.
        in_batch: whether the loss of a row depends on other rows. If not, replicas
            need not show each other their rows.
        true_logits: whether the loss takes probabilities for what they are, so that
            down-sampling is undone by weights of 1/r where others see a logit shift.
        takes_own: whether `per_example` takes `own`, the rows to compute alone.
    """

    extras: ClassVar[tuple[str, ...]] = ()
    two_logits: ClassVar[bool] = False
    in_batch: ClassVar[bool] = True
    true_logits: ClassVar[bool] = False
    takes_own: ClassVar[bool] = False

    def per_example(
        self,
        logits: tf.Tensor,
        labels: tf.Tensor,
        *,
        weights: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        contexts: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the loss of each row.

        Args:
            logits: [B], or [B, 2] for a loss with `two_logits`; any floating type,
                computed with as float32.
            labels: [B], 0 or 1.
            weights: float32 [B], not negative; 1 unless given. Pointwise terms are
                linear in their scale, ranking terms do not change with it.
            mask: bool [B], the rows that count; all unless given. What the other rows
                hold, even NaN, has no effect on value or gradient.
            contexts: int64 [B], any values in any order: rows with the same value are
                of one context, and ranking terms stay inside contexts (see above). The
                whole batch is one context unless given. Pointwise terms ignore it.

        Returns:
            float32 [B], 0 where masked out. Its sum over n is the loss.
        """
        raise NotImplementedError

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Keras's interface: labels and logits, [B] or [B, 1]; returns [B].

        Keras multiplies the result by sample weights. For pointwise terms that is
        their definition; a pair is then weighed by its positive row alone, so weights
        on ranking terms belong into `per_example`.
        """
        if self.extras or self.two_logits:
            needs = ", ".join(self.extras) or "two logits for each row"
            raise TypeError(
                f"{type(self).__name__} needs {needs}, which compile(loss=...) cannot"
                " give: call its `per_example` in a training step of your own"
            )
        return self.per_example(
            tf.reshape(y_pred, (-1,)), tf.reshape(tf.cast(y_true, tf.float32), (-1,))
        )


def as_float32(values: Any) -> tf.Tensor:
    """Returns `values` as float32: losses compute with nothing narrower."""
    return tf.cast(values, tf.float32)


def row_mask(logits: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Returns `mask`, bool [B], or all true."""
    if mask is None:
        return tf.ones_like(logits, dtype=tf.bool)
    return tf.cast(mask, tf.bool)


def apply_mask(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Returns `values` with 0 where masked out, so that NaN there does no harm."""
    if mask is None:
        return values
    return tf.where(tf.cast(mask, tf.bool), values, tf.zeros_like(values))


def rows_left(logits: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Returns n, the number of rows that count, as a float32 scalar."""
    return tf.reduce_sum(tf.cast(row_mask(logits, mask), tf.float32))


def mean_loss(per_example: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Reduces the losses of the rows: their sum over `rows`, 0 if `rows` is 0.

    This is the one place where a batch becomes a number. With `rows` counted over all
    replicas the result is this replica's share, and the shares sum up to the loss.
    """
    # Dividing first keeps the mean finite where rows are near the end of float32. A sum
    # of many equal rows in float32, as a fresh head gives them, is off by 3e-6.
    shares = tf.math.divide_no_nan(per_example, rows)
    return tf.cast(tf.reduce_sum(tf.cast(shares, tf.float64)), tf.float32)
