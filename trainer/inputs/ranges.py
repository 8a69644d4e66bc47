"""Checks that ids are fingerprints, before anything looks them up."""

from collections.abc import Sequence

import tensorflow as tf

from configs.layout import FINGERPRINT_RANGE

__all__ = ["checked_ids"]


def checked_ids(ids: tf.Tensor, names: Sequence[str]) -> tf.Tensor:
    """Returns ids that lie in [0, FINGERPRINT_RANGE).

    A table finds a row for any number, by a modulo or by a search, so that a damaged id
    would train a row of another value without a word. Padding must not be among them
    yet.

    Args:
        ids: int64 [B, features], or [values] of one feature.
        names: of the features.

    Raises:
        tf.errors.InvalidArgumentError: when run, naming the features with others.
    """
    # FINGERPRINT_RANGE is the largest int64, so that this is all that there is above.
    outside = tf.logical_or(ids < 0, ids == FINGERPRINT_RANGE)
    found = tf.reshape(tf.reduce_any(outside, axis=0), (-1,))
    fine = tf.logical_not(tf.reduce_any(found))
    if tf.executing_eagerly():
        if not fine:
            raise tf.errors.InvalidArgumentError(None, None, _message(ids, names))
        return ids
    where = tf.boolean_mask(tf.constant(list(names)), found)
    check = tf.debugging.Assert(fine, ["ids outside their range", where])
    with tf.control_dependencies([check]):
        return tf.identity(ids)


def _message(ids: tf.Tensor, names: Sequence[str]) -> str:
    columns = ids.numpy().reshape(-1, len(names)).T
    problems = []
    for name, values in zip(names, columns, strict=True):
        wrong = values[(values < 0) | (values == FINGERPRINT_RANGE)]
        if len(wrong):
            problems.append(f"{name} has the id {wrong[0]}")
    return f"{', '.join(problems)}, expected 0 to {FINGERPRINT_RANGE - 1}"
