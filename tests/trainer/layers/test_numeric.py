import numpy as np
import pytest
import tensorflow as tf

from configs.errors import DataError
from configs.features import Bucketize
from configs.manifest import NumericStatistics
from tests.oracles import networks as oracle
from trainer.layers.numeric import (
    NumericInput,
    NumericTransform,
    bucket_boundaries,
    bucketize,
)

STATISTICS = NumericStatistics(
    weight=10.0,
    missing_weight=0.0,
    mean=4.0,
    stddev=2.0,
    log1p_mean=1.5,
    log1p_stddev=0.5,
    minimum=-3.0,
    maximum=9.0,
)


@pytest.mark.parametrize(
    ("transform", "value", "expected"),
    [
        ((), 7.0, 7.0),
        ((), np.nan, 4.0),
        (("log1p",), -(np.e - 1.0), -1.0),
        (("log1p",), np.nan, 1.5),
        (("standardize",), 7.0, 1.5),
        (("standardize",), np.nan, 0.0),
        (("log1p", "standardize"), np.e - 1.0, -1.0),
        (("log1p", "standardize"), np.nan, 0.0),
        (("standardize", "log1p"), 4.0 - 2.0 * (np.e - 1.0), -1.0),
        (("standardize", "log1p"), np.nan, 0.0),
    ],
)
def test_transforms_in_order(transform: tuple, value: float, expected: float) -> None:
    # Beside another column, so that per-column choices are made.
    layer = NumericTransform(
        [
            NumericInput(name="x", transform=transform, indicator=True),
            NumericInput(name="y"),
        ],
        statistics={"x": STATISTICS, "y": STATISTICS},
        name="numeric",
    )
    result = layer(tf.constant([[value, 2.0]], tf.float32)).numpy()
    np.testing.assert_allclose(
        result, [[expected, 2.0, float(np.isnan(value))]], rtol=1e-6, atol=1e-6
    )
    assert layer.width == 3


def test_absent_statistics_are_named() -> None:
    with pytest.raises(DataError, match=r"lack \['y'\], have \['x'\]"):
        NumericTransform(
            [NumericInput(name="x"), NumericInput(name="y")],
            statistics={"x": STATISTICS},
            name="numeric",
        )


def test_constant_column_is_not_divided_by_zero() -> None:
    constant = STATISTICS.model_copy(update={"stddev": 0.0})
    layer = NumericTransform(
        [NumericInput(name="x", transform=("standardize",))],
        statistics={"x": constant},
        name="numeric",
    )
    np.testing.assert_allclose(layer(tf.constant([[4.0], [5.0]])), [[0.0], [1.0]])


def test_log2_buckets_change_at_exact_powers() -> None:
    values = [0.0, 0.5, np.nan, 1e9, -1e9, 3e38, -3e38]
    for power in range(1, 24):
        edge = np.float32(2.0**power - 1.0)
        below = np.nextafter(edge, np.float32(0.0))
        values += [edge, below, -edge, -below]
    boundaries = bucket_boundaries(Bucketize(scheme="log2"))
    rows = bucketize(tf.constant([values], tf.float32), boundaries).numpy()[0]
    assert rows.tolist() == [oracle.log2_bucket(float(np.float32(v))) for v in values]
    assert rows.min() == 0 and rows.max() == 63


def test_boundaries_belong_to_the_bucket_above() -> None:
    boundaries = bucket_boundaries(Bucketize(boundaries=[-1.0, 0.0, 2.5]))
    values = tf.constant([[-2.0, -1.0, -0.5, 0.0, 2.4, 2.5, np.nan]])
    assert bucketize(values, boundaries).numpy().tolist() == [[1, 2, 2, 3, 3, 4, 0]]
    assert Bucketize(boundaries=[-1.0, 0.0, 2.5]).num_buckets == 5
