"""Fake-negative weighting (FNW): learn at once, and be right in the end.

An impression is learned from as a negative when it comes, and once more as a positive
if its label turns 1 later. Of the rows of some features x a share b(1) = p / (1 + p) is
positive then, p being the true rate, and b(0) = 1 / (1 + p) is not, since the positives
were negatives before. Importance weights p / b(1) and (1 - p) / b(0) turn the expected
loss of these rows into that of the true labels:

    positives   1 + p              negatives   (1 - p) (1 + p)

p is the model's own probability, without a gradient (Ktena et al. 2019, section 4.3).
The expected gradient by z is then (1 - q^2) (q - p) where the model says q: it vanishes
at q = p alone, has the sign of that of the true labels, and needs no model of delays.

It holds however long the first observation waits, if a row that is positive already
stands for two: the fake negative that it would have been, and the positive. Otherwise
fast positives would miss their fake negatives, and q become p / (1 - s), where s is the
share of impressions that are positive by then.

Where negatives are kept at a rate r and positives always, b(1) = p / (p + r), and the
sample's own rate, which losses see, is p_r = p / (p + r (1 - p)). So the weights are

    positives   w = (p + r) / (p + r (1 - p))      negatives   (1 - p) w

with p of the true logit, and the fake negative of a row that is positive already, which
was kept for being so, weighs r times as much: as the others it stands for one of 1/r.
"""

from collections.abc import Mapping

import tensorflow as tf

from trainer.observations import Observed

__all__ = ["fake_negative_rows", "fake_negative_weights"]

Columns = Mapping[str, tf.Tensor]


def fake_negative_weights(
    logits: tf.Tensor, keep_rates: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the weights of negatives and of positives, without a gradient.

    Args:
        logits: the true ones, float32 [b].
        keep_rates: r of each row where the losses see z - ln r, float32 [b].

    Returns:
        Two float32 [b]. Positives weigh from 1 to 2.
    """
    logits = tf.stop_gradient(logits)
    p, others = tf.sigmoid(logits), tf.sigmoid(-logits)
    rates = tf.ones_like(p) if keep_rates is None else keep_rates
    positives = (p + rates) / (p + rates * others)
    return others * positives, positives


def fake_negative_rows(
    columns: Columns,
    rows: Observed,
    true_logits: tf.Tensor,
    keep_rates: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Returns the columns of 2b rows: all b as negatives, then all b as positives.

    Those that are not, or are no row of the task, are masked out.

    Args:
        columns: of b rows, `labels` among them, and `weights` where rows have some.
        rows: what they are to the task.
        true_logits: float32 [b], without the shift.
        keep_rates: as for `fake_negative_weights`.

    Returns:
        The columns, `labels`, `weights` and `mask` anew.
    """
    positive = columns["labels"] > 0.5
    negatives, positives = fake_negative_weights(true_logits, keep_rates)
    if keep_rates is not None:
        negatives *= tf.where(positive, keep_rates, 1.0)
    if "weights" in columns:
        negatives *= columns["weights"]
        positives *= columns["weights"]
    doubled = {name: tf.concat([v, v], 0) for name, v in columns.items()}
    zeros = tf.zeros_like(columns["labels"])
    doubled["labels"] = tf.concat([zeros, zeros + 1.0], 0)
    doubled["weights"] = tf.concat([negatives, positives], 0)
    doubled["mask"] = tf.concat([rows.first, (rows.first | rows.late) & positive], 0)
    return doubled
