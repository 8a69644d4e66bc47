"""Requests are encoded as the batch job encodes logs."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from configs.columns import raw_columns
from preprocessing.encode_rows import encode_rows, matrix_of
from preprocessing.encoding import encode_request
from preprocessing.fields import IMPRESSIONS, fields_by_log
from preprocessing.normalize import normalize
from tests.preprocessing.making_jobs import impression, small_job

RECORDS = [
    impression(
        1, 0, history_item=["a", None, "b", "c", "d"], history_age=[5, 4, 3, None, 1]
    ),
    impression(2, 0, tags=["", "t", "t", "u"], user=None, price=None, vector=None),
    impression(3, 0, tags=None, history_item=None, history_age=None, item="ünï"),
    impression(4, 0, history_item=[None], history_age=[1]),
]


def _request(job: Any) -> dict[str, tf.Tensor]:
    """Pads the records as a client does."""
    columns: dict[str, tf.Tensor] = {}
    for name, column in raw_columns(job).items():
        empty: Any = float("nan") if column.type == "number" else ""
        values = [record[name] for record in RECORDS]
        if column.is_list:
            width = max(len(value or []) for value in values)
            lists = [[*(value or []), *[empty] * width][:width] for value in values]
            values = [[_spelled(v, empty) for v in value] for value in lists]
        else:
            values = [_spelled(value, empty) for value in values]
        kind = tf.float32 if column.type == "number" else tf.string
        columns[name] = tf.constant(values, kind)
    return columns


def _spelled(value: Any, empty: Any) -> Any:
    if value is None:
        return empty
    return value if isinstance(empty, float) else str(value)


def test_requests_are_encoded_like_logs(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    fields = fields_by_log(job)[IMPRESSIONS]
    table = normalize(
        pa.Table.from_pylist(RECORDS), fields, from_text=False, record_of=str
    )
    batch = encode_rows(job, table, Counter())
    request = tf.function(lambda columns: encode_request(columns, job))(_request(job))
    assert set(request) == {
        *("categorical", "numeric", "dense", "multi_valued/tags"),
        *("sequence/history/item", "sequence/history/age"),
    }
    for key, tensor in request.items():
        column = batch[key]
        if pa.types.is_fixed_size_list(column.type):
            np.testing.assert_array_equal(tensor.numpy(), matrix_of(column), key)
            continue
        for row, expected in zip(tensor.numpy(), column.to_pylist(), strict=True):
            padding = row[len(expected) :]
            np.testing.assert_array_equal(row[: len(expected)], expected, key)
            assert np.isnan(padding).all() or (padding == -1).all()
    assert request["sequence/history/item"].shape == (4, 3)
