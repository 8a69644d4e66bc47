"""Hour and weekday of times on the clocks of a zone; the same in logs and in graphs."""

import tensorflow as tf

from configs.features import TimeFeature
from configs.times import NO_TIME
from configs.timezones import timezone_offsets

__all__ = ["time_part"]

_HOUR, _DAY = 3_600, 86_400

_MONDAY = 3
"""Days from the Monday before the epoch, which was a Thursday, to the epoch."""


def time_part(times: tf.Tensor, feature: TimeFeature) -> tf.Tensor:
    """Returns the numbers under which a model knows the hours or weekdays of times.

    The offsets of the zone become constants of the graph, so that a server needs no tz
    database, and answers as the export was proved.

    Args:
        times: int64 [B], milliseconds since the epoch, or `NO_TIME`.
        feature: names zone and part.

    Returns:
        int64 [B]: 0 where missing, 1 + the hour, or the ISO weekday (Monday is 1).
    """
    seconds = tf.math.floordiv(times, tf.constant(1_000, tf.int64))
    changes, offsets = timezone_offsets(feature.timezone)
    local = seconds + tf.constant(offsets[0], tf.int64)
    if changes:
        # As tf.searchsorted with side="right", which fails on an empty batch.
        place = tf.raw_ops.UpperBound(
            sorted_inputs=tf.constant([changes], tf.int64),
            values=seconds[tf.newaxis],
            out_type=tf.int32,
        )
        local = seconds + tf.gather(tf.constant(offsets, tf.int64), place[0])
    day, of_day = tf.constant(_DAY, tf.int64), tf.math.floormod(local, _DAY)
    if feature.part == "hour":
        part = tf.math.floordiv(of_day, tf.constant(_HOUR, tf.int64))
    else:
        part = tf.math.floormod(tf.math.floordiv(local, day) + _MONDAY, 7)
    return tf.where(times == NO_TIME, tf.zeros_like(part), part + 1)
