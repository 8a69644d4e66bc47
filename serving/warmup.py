"""Requests that TensorFlow Serving replays before it makes a version available.

The file is a TFRecord of `PredictionLog` messages. Their few fields are written here
directly (protobuf's wire format: a key of field number and type, a length, the bytes),
because the package with their generated classes pins TensorFlow and gRPC versions.
Sources: tensorflow_serving/apis/{prediction_log,predict,model}.proto and
TensorFlow Serving's guide "SavedModel Warmup".
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from serving.specification import EXTRA, SIGNATURE
from serving.values import Arrays

__all__ = ["WARMUP_FILE", "write_warmup"]

WARMUP_FILE = f"{EXTRA}/tf_serving_warmup_requests"

# Field numbers of the messages.
_LOG_PREDICT = 6  # PredictionLog.predict_log
_PREDICT_REQUEST = 1  # PredictLog.request
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2  # PredictRequest.{model_spec, inputs}
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3  # ModelSpec.{name, signature_name}
_ENTRY_KEY, _ENTRY_VALUE = 1, 2  # of every map


def write_warmup(folder: str | Path, name: str, arrays: Arrays, batches: int) -> int:
    """Writes up to `batches` requests: single rows, and last all rows together.

    Args:
        folder: of the version.
        name: of the model.
        arrays: packed golden rows.
        batches: number of requests; 0 writes no file.

    Returns:
        The number of requests written.
    """
    rows = len(next(iter(arrays.values())))
    requests = list(_requests(arrays, min(batches, rows)))
    if requests:
        with tf.io.TFRecordWriter(str(Path(folder) / WARMUP_FILE)) as writer:
            for request in requests:
                writer.write(_prediction_log(name, request))
    return len(requests)


def _requests(arrays: Arrays, count: int) -> Iterator[Arrays]:
    for row in range(count - 1):
        yield {name: values[row : row + 1] for name, values in arrays.items()}
    if count:
        yield arrays


def _prediction_log(name: str, arrays: Arrays) -> bytes:
    model = _field(_MODEL_NAME, name.encode()) + _field(
        _MODEL_SIGNATURE, SIGNATURE.encode()
    )
    request = _field(_REQUEST_MODEL, model)
    for column, values in arrays.items():
        dtype = tf.string if values.dtype == object else tf.as_dtype(values.dtype)
        tensor = tf.make_tensor_proto(values, dtype=dtype).SerializeToString()
        entry = _field(_ENTRY_KEY, column.encode()) + _field(_ENTRY_VALUE, tensor)
        request += _field(_REQUEST_INPUTS, entry)
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """Encodes a length-delimited field (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
