"""Warm-up requests are messages that TensorFlow Serving can parse.

The oracle is the protobuf library, with descriptors of the few messages written from
TensorFlow Serving's .proto files.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from serving.values import pack_columns
from serving.warmup import write_warmup
from tests.serving.models import ROW, ROWS

MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING


def message_class() -> Any:
    """Returns the class of `PredictionLog`."""
    file = descriptor_pb2.FileDescriptorProto(
        name="serving.proto",
        package="serving",
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )

    def add(parent: Any, name: str, fields: list[tuple[str, int, str]]) -> Any:
        message = parent.add(name=name)
        for field, number, kind in fields:
            entry = message.field.add(name=field, number=number, label=1)
            entry.type = STRING if kind == "string" else MESSAGE
            if kind != "string":
                entry.type_name = kind
        return message

    spec = [("name", 1, "string"), ("signature_name", 3, "string")]
    add(file.message_type, "ModelSpec", spec)
    request = add(
        file.message_type,
        "PredictRequest",
        [
            ("model_spec", 1, ".serving.ModelSpec"),
            ("inputs", 2, ".serving.PredictRequest.InputsEntry"),
        ],
    )
    request.field[1].label = 3
    fields = [("key", 1, "string"), ("value", 2, ".tensorflow.TensorProto")]
    entry = add(request.nested_type, "InputsEntry", fields)
    entry.options.map_entry = True
    request_field = ("request", 1, ".serving.PredictRequest")
    add(file.message_type, "PredictLog", [request_field])
    log = ("predict_log", 6, ".serving.PredictLog")
    add(file.message_type, "PredictionLog", [log])
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = pool.FindMessageTypeByName("serving.PredictionLog")
    return message_factory.GetMessageClass(found)


def test_requests_are_prediction_logs(full_model: Any, tmp_path: Path) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROW}
    arrays, _ = pack_columns(full_model.specification, columns)
    (tmp_path / "assets.extra").mkdir()
    assert write_warmup(tmp_path, "shop", arrays, 3) == 3
    path = str(tmp_path / "assets.extra/tf_serving_warmup_requests")
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    kind = message_class()
    requests = [kind.FromString(record).predict_log.request for record in records]
    assert [len(request.inputs) for request in requests] == [len(ROW)] * 3
    for request, rows in zip(requests, [[0], [1], range(5)], strict=True):
        assert request.model_spec.name == "shop"
        assert request.model_spec.signature_name == "serving_default"
        for name, tensor in request.inputs.items():
            found = tf.make_ndarray(tensor)
            expected = arrays[name][list(rows)]
            np.testing.assert_array_equal(found, expected)


def test_no_requests_no_file(full_model: Any, tmp_path: Path) -> None:
    arrays, _ = pack_columns(full_model.specification, {n: [ROW[n]] for n in ROW})
    assert write_warmup(tmp_path, "shop", arrays, 0) == 0
    assert not list(tmp_path.iterdir())
