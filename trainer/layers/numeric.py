"""Numeric inputs: transforms with learned statistics as weights, and buckets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from configs.errors import DataError
from configs.features import Bucketize, Transform
from configs.manifest import NumericStatistics

__all__ = [
    "NumericInput",
    "NumericTransform",
    "bucket_boundaries",
    "bucketize",
    "quantile_boundaries",
]


@dataclass(frozen=True, kw_only=True)
class NumericInput:
    """One column of numbers.

    Attributes:
        name: in the statistics (`age_hours`, `history.age`).
        transform: applied in order.
        indicator: whether a 0/1 input tells that the value is missing.
    """

    name: str
    transform: tuple[Transform, ...] = ()
    indicator: bool = False

    @property
    def log_first(self) -> bool:
        """Whether log1p comes before standardize, if that comes at all."""
        return "log1p" in self.transform and self.transform[0] == "log1p"

    @property
    def log_last(self) -> bool:
        """Whether log1p comes after standardize."""
        return "log1p" in self.transform and not self.log_first


class NumericTransform(keras.layers.Layer):  # type: ignore[misc]
    """Transforms columns of numbers; all columns at once.

    A column is transformed by sign(x) * log(1 + |x|), by (x - mean) / stddev, by both
    in either order, or not at all. A missing value (NaN) takes the training mean of
    the value as it stands where `standardize` would be applied (so that it becomes 0
    by standardizing); with `indicator`, a further 0/1 column says so. Means and
    standard deviations are non-trainable weights; a deviation of 0 counts as 1.

    Args:
        inputs: the columns.
        statistics: by name; None leaves the weights to a checkpoint.
    """

    def __init__(
        self,
        inputs: Sequence[NumericInput],
        *,
        statistics: Mapping[str, NumericStatistics] | None,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self._inputs = tuple(inputs)
        mean, stddev = _statistics(self._inputs, statistics)
        self._mean = self._add("mean", mean)
        self._stddev = self._add("stddev", stddev)
        self.built = True

    @property
    def width(self) -> int:
        """Number of columns that come out."""
        return len(self._inputs) + sum(i.indicator for i in self._inputs)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Transforms `values`, float32 [..., columns], to float32 [..., width]."""
        inputs = self._inputs
        missing = tf.math.is_nan(values)
        values = _log1p_where([i.log_first for i in inputs], values)
        values = tf.where(missing, self._mean.value, values)
        standardized = [float("standardize" in i.transform) for i in inputs]
        if any(standardized):
            chosen = tf.constant(standardized)
            shift = self._mean.value * chosen
            scale = tf.where(chosen > 0.0, self._stddev.value, 1.0)
            values = (values - shift) / tf.where(scale > 0.0, scale, 1.0)
        values = _log1p_where([i.log_last for i in inputs], values)
        indicators = [n for n, i in enumerate(inputs) if i.indicator]
        if indicators:
            flags = tf.gather(tf.cast(missing, values.dtype), indicators, axis=-1)
            values = tf.concat([values, flags], axis=-1)
        return values

    def _add(self, name: str, values: list[float]) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=(len(values),),
            trainable=False,
            initializer=lambda shape, dtype: tf.constant(values, dtype, shape),
        )


def bucket_boundaries(bucketize: Bucketize) -> np.ndarray[Any, Any]:
    """Returns float32 boundaries such that x is in bucket number
    `count(boundaries <= x)`, for both forms of `bucketize`.

    The bucket sign(x) * floor(log2(1 + |x|)) changes where |x| reaches 2**k - 1. As
    boundaries those places are exact, which a float32 logarithm is not.
    """
    if bucketize.quantiles is not None:
        raise ValueError("quantiles are known of a training split alone")
    if bucketize.boundaries is not None:
        return np.asarray(bucketize.boundaries, np.float32)
    upper = np.asarray([2.0**k - 1.0 for k in range(1, 32)], np.float32)
    # x <= -upper is x < the next number above it.
    lower = np.nextafter(-upper[::-1], np.float32(np.inf), dtype=np.float32)
    return np.concatenate([lower, upper])


def quantile_boundaries(
    name: str, count: int, statistics: Mapping[str, NumericStatistics] | None
) -> np.ndarray[Any, Any]:
    """Returns float32 [count - 1], the quantiles of a number that cut the training
    split into `count` parts; zeros where a checkpoint is to give them.

    Where many rows have one value, boundaries are equal, and buckets stay empty.

    Raises:
        DataError: if the example set has no quantiles of it.
    """
    if statistics is None:
        return np.zeros(count - 1, np.float32)
    found = statistics.get(name)
    if found is None or not found.quantiles:
        raise DataError(
            f"features.{name}.bucketize.quantiles: the statistics of the example set"
            f" have no quantiles of {name!r}: run preprocessing again"
        )
    steps = len(found.quantiles) + 1
    places = [round(k * steps / count) - 1 for k in range(1, count)]
    return np.asarray([found.quantiles[place] for place in places], np.float32)


def bucketize(values: tf.Tensor, boundaries: tf.Tensor) -> tf.Tensor:
    """Returns the table rows of numbers: 0 where missing (NaN), else 1 + the bucket.

    Args:
        values: float32, any shape.
        boundaries: float32, ascending.

    Returns:
        int64, shaped like `values`.
    """
    missing = tf.math.is_nan(values)
    filled = tf.where(missing, tf.zeros_like(values), values)
    # As tf.searchsorted with side="right", which fails on an empty batch.
    buckets = tf.raw_ops.UpperBound(
        sorted_inputs=boundaries[tf.newaxis],
        values=tf.reshape(filled, (1, -1)),
        out_type=tf.int64,
    )
    rows = tf.reshape(buckets, tf.shape(values)) + 1
    return tf.where(missing, tf.zeros_like(rows), rows)


def _log1p_where(chosen: list[bool], values: tf.Tensor) -> tf.Tensor:
    if not any(chosen):
        return values
    logs = tf.sign(values) * tf.math.log1p(tf.abs(values))
    return logs if all(chosen) else tf.where(tf.constant(chosen), logs, values)


def _statistics(
    inputs: Sequence[NumericInput],
    statistics: Mapping[str, NumericStatistics] | None,
) -> tuple[list[float], list[float]]:
    if statistics is None:
        return [0.0] * len(inputs), [1.0] * len(inputs)
    means, stddevs = [], []
    absent = sorted({column.name for column in inputs} - statistics.keys())
    if absent:
        raise DataError(
            f"the statistics of the example set lack {absent}, have"
            f" {sorted(statistics)}: run preprocessing again"
        )
    for column in inputs:
        found = statistics[column.name]
        means.append(found.log1p_mean if column.log_first else found.mean)
        stddevs.append(found.log1p_stddev if column.log_first else found.stddev)
    return means, stddevs
