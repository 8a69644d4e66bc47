"""Examples against the protobuf library, files against TensorFlow's writer."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from configs.errors import DataError
from preprocessing.encode_rows import fixed_lists
from preprocessing.example_bytes import serialize_examples
from preprocessing.tfrecord import frame_records, read_records, write_records
from tests.oracles import example_proto


def _rows(count: int) -> pa.Table:
    chance = np.random.default_rng(1)
    ids = chance.integers(0, 2**63 - 1, (3, count))
    ids[0, :4] = [0, 1, 127, 2**63 - 2]
    lengths = chance.integers(0, 40, count)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    flat = chance.integers(0, 2**63 - 1, lengths.sum())
    floats = chance.normal(size=lengths.sum()).astype(np.float32)
    return pa.table(
        {
            "labels": fixed_lists([np.ones(count, np.float32)]),
            "ids": fixed_lists(list(ids)),
            "event_time": pa.array(chance.integers(-(2**62), 2**62, count)),
            "event_kind": pa.array(np.arange(count) % 3),
            "negative_keep_rate": pa.array(np.full(count, 0.1, np.float32)),
            "numeric": fixed_lists([np.full(count, np.nan, np.float32)] * 2),
            "multi_valued/tags": pa.ListArray.from_arrays(offsets, pa.array(flat)),
            "sequence/h/age": pa.ListArray.from_arrays(offsets, pa.array(floats)),
        }
    )


@pytest.mark.parametrize("start", [0, 3])
def test_examples_equal_the_protobuf_library(start: int) -> None:
    table = _rows(60).slice(start)
    found = serialize_examples(table).to_pylist()
    for row, serialized in zip(table.to_pylist(), found, strict=True):
        kinds = {}
        for key, value in row.items():
            values = value if isinstance(value, list) else [value]
            floats = "float" in str(table.schema.field(key).type)
            kinds[key] = ("float" if floats else "int64", values)
        expected = example_proto.parse(example_proto.serialize(kinds))
        assert repr(sorted(example_proto.parse(serialized).items())) == repr(
            sorted(expected.items())
        )


def test_tensorflow_parses_the_examples() -> None:
    table = _rows(60)
    parsed = tf.io.parse_example(
        serialize_examples(table).to_numpy(zero_copy_only=False),
        {
            "ids": tf.io.FixedLenFeature([3], tf.int64),
            "event_time": tf.io.FixedLenFeature([], tf.int64),
            "multi_valued/tags": tf.io.RaggedFeature(tf.int64),
        },
    )
    assert parsed["ids"].numpy().tolist() == table["ids"].to_pylist()
    assert parsed["event_time"].numpy().tolist() == table["event_time"].to_pylist()
    assert (
        parsed["multi_valued/tags"].to_list() == table["multi_valued/tags"].to_pylist()
    )


def test_framing_equals_tensorflows(tmp_path: Path) -> None:
    records = [b"", b"a", bytes(range(256)) * 3, b"xyz" * 1000, b"a"]
    path = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    assert frame_records(pa.array(records, pa.binary())) == path.read_bytes()
    assert list(read_records(path)) == records


@pytest.mark.parametrize("place", [2, 9, 14, -2])
def test_damage_is_found(tmp_path: Path, place: int) -> None:
    shard = write_records(
        tmp_path, "x.tfrecord", [pa.array([b"hello"], pa.binary())], compress=False
    )
    content = bytearray((tmp_path / shard.path).read_bytes())
    content[place] ^= 1
    (tmp_path / shard.path).write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        list(read_records(tmp_path / shard.path))


def test_a_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    content = frame_records(pa.array([b"hello"], pa.binary()))
    for size in (1, 11, 14, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match="cut"):
            list(read_records(path))
