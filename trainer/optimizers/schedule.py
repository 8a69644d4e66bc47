"""Learning-rate schedules: the share of a rate that an update gets.

A function of the number of updates made before, which is in every checkpoint, so that
a resumed run goes on with the rate of the whole one.
"""

import math

import tensorflow as tf

from configs.training import Schedule

__all__ = ["share_of_rate"]


def share_of_rate(schedule: Schedule, updates: tf.Tensor) -> tf.Tensor:
    """Returns what the learning rate is multiplied with.

    With t updates made before, w warm-up steps, d decay steps and the final share f,
    it is (t + 1) / w while t < w; then, with p = min((t - w) / d, 1),

        linear       1 - (1 - f) p
        cosine       f + (1 - f) (1 + cos(pi p)) / 2
        exponential  f ** p

    Args:
        schedule: its section of the job.
        updates: [] int, updates made before this one.

    Returns:
        [] float32.
    """
    made = tf.cast(updates, tf.float32)
    share = tf.constant(1.0)
    if schedule.decay_steps is not None:
        past = made - float(schedule.warmup_steps)
        progress = tf.clip_by_value(past / float(schedule.decay_steps), 0.0, 1.0)
        share = _fallen(schedule, progress)
    if schedule.warmup_steps:
        rising = (made + 1.0) / float(schedule.warmup_steps)
        share = tf.where(made < float(schedule.warmup_steps), rising, share)
    return share


def _fallen(schedule: Schedule, progress: tf.Tensor) -> tf.Tensor:
    final = schedule.final_share
    if schedule.name == "linear":
        return 1.0 - (1.0 - final) * progress
    if schedule.name == "cosine":
        return final + (1.0 - final) * 0.5 * (1.0 + tf.cos(math.pi * progress))
    return tf.pow(final, progress)
