"""Serialises encoded rows to `tf.train.Example`, a block of rows at a time.

A row is some bytes of fixed length (all packed keys with a fixed number of values) and
the keys with lists. Integers are varints of fixed width: a fingerprint has 63 bits, so
9 bytes of 7 bits hold any, and leading zero groups are legal protobuf. Lengths that
differ between rows are varints of 5 bytes. So everything is a matrix of bytes, and
pyarrow joins the pieces. The protobuf library is the oracle in the tests.

Source of the format: tensorflow/core/example/{example,feature}.proto.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.layout import (
    CATEGORICAL,
    DENSE,
    ELAPSED,
    EVENT_KIND,
    EVENT_TIME,
    IDS,
    LABEL_KINDS,
    LABELS,
    NEGATIVE_KEEP_RATE,
    NUMERIC,
    TRUTH,
)
from preprocessing.arrays import one_array
from preprocessing.encode_rows import matrix_of

__all__ = ["serialize_examples"]

_FINGERPRINT_BYTES = 9
_INT64_BYTES = 10
_LENGTH_BYTES = 5

_FIELD_1 = 0x0A  # tag of a length-delimited field 1, and so on
_FIELD_2 = 0x12
_FIELD_3 = 0x1A
_FLOAT_LIST, _INT64_LIST = _FIELD_2, _FIELD_3

_FIXED_KEYS = (
    LABELS,
    TRUTH,
    IDS,
    EVENT_TIME,
    EVENT_KIND,
    LABEL_KINDS,
    ELAPSED,
    NEGATIVE_KEEP_RATE,
    CATEGORICAL,
    NUMERIC,
    DENSE,
)

_KINDS = (EVENT_KIND, LABEL_KINDS)
"""Keys of small numbers, a byte each."""


def serialize_examples(table: pa.Table) -> pa.Array:
    """Returns the serialised examples of the rows of `table`, binary [N].

    Args:
        table: columns by key of `configs.layout`: numbers, lists of a fixed size, and
            lists; int64 or float32. Lists must hold fingerprints (not negative).
    """
    rows = table.num_rows
    fixed = np.concatenate(
        [
            _fixed_entry(key, table[key])
            for key in _FIXED_KEYS
            if key in table.schema.names
        ],
        axis=1,
    )
    sizes = np.full(rows, fixed.shape[1], np.int64)
    pieces = []
    for key in table.schema.names:
        if key not in _FIXED_KEYS:
            header, payload = _list_entry(key, one_array(table[key]))
            sizes += header.shape[1] + np.diff(payload.offsets().astype(np.int64))
            pieces += [_binary(header), payload.array()]
    # Example { features: Features { feature: entries } }
    start = np.empty((rows, 1 + _LENGTH_BYTES), np.uint8)
    start[:, 0] = _FIELD_1
    start[:, 1:] = _varints(sizes, _LENGTH_BYTES)
    whole = _binary(np.concatenate([start, fixed], axis=1))
    if not pieces:
        return whole
    return pc.binary_join_element_wise(whole, *pieces, pa.scalar(b"", pa.binary()))


class _Payload:
    """Values of a list key, as bytes: row i has bytes offsets[i] to offsets[i + 1]."""

    def __init__(self, offsets: npt.NDArray[np.int32], flat: npt.NDArray[np.uint8]):
        self._offsets, self._flat = offsets, flat

    def offsets(self) -> npt.NDArray[np.int32]:
        return self._offsets

    def array(self) -> pa.Array:
        return pa.BinaryArray.from_buffers(
            pa.binary(),
            len(self._offsets) - 1,
            [None, pa.py_buffer(self._offsets), pa.py_buffer(self._flat)],
        )


def _fixed_entry(key: str, column: Any) -> npt.NDArray[np.uint8]:
    """Returns a map entry whose length is the same in all rows, [N, bytes]."""
    array = one_array(column)
    if pa.types.is_fixed_size_list(array.type):
        values = matrix_of(array)
    else:
        values = array.to_numpy(zero_copy_only=False)[:, np.newaxis]
    is_float = values.dtype == np.float32
    if is_float:
        payload = np.ascontiguousarray(values, "<f4").view(np.uint8)
    else:
        # Only times may be negative, which takes all 64 bits.
        width = _INT64_BYTES if key == EVENT_TIME else _FINGERPRINT_BYTES
        payload = _varints(values.reshape(-1), 1 if key in _KINDS else width)
    payload = payload.reshape(len(values), -1)
    header = _entry_header(key, is_float, payload.shape[1])
    headers = np.broadcast_to(
        np.frombuffer(header, np.uint8), (len(values), len(header))
    )
    return np.concatenate([headers, payload], axis=1)


def _entry_header(key: str, is_float: bool, size: int) -> bytes:
    """Returns what stands before the packed values of a key."""
    name = key.encode()
    list_tag = _FLOAT_LIST if is_float else _INT64_LIST
    packed = bytes([_FIELD_1]) + _length(size)
    feature = bytes([list_tag]) + _length(len(packed) + size) + packed
    entry = (
        bytes([_FIELD_1])
        + _length(len(name))
        + name
        + bytes([_FIELD_2])
        + _length(len(feature) + size)
        + feature
    )
    return bytes([_FIELD_1]) + _length(len(entry) + size) + entry


def _list_entry(key: str, array: pa.Array) -> tuple[npt.NDArray[np.uint8], _Payload]:
    """Returns the headers [N, bytes] and the payload of a key with lists."""
    flat = array.flatten().to_numpy(zero_copy_only=False)
    is_float = flat.dtype == np.float32
    width = 4 if is_float else _FINGERPRINT_BYTES
    counts = np.diff(array.offsets.to_numpy()).astype(np.int64)
    offsets = np.zeros(len(array) + 1, np.int32)
    np.cumsum(counts * width, out=offsets[1:])
    if is_float:
        payload = np.ascontiguousarray(flat, "<f4").view(np.uint8)
    else:
        payload = _varints(flat, width).reshape(-1)
    header = _list_header(key, is_float, counts * width)
    return header, _Payload(offsets, payload)


def _list_header(
    key: str, is_float: bool, sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint8]:
    name = key.encode()
    named = bytes([_FIELD_1]) + _length(len(name)) + name
    level = 1 + _LENGTH_BYTES  # a tag and a length
    parts: list[tuple[bytes, int]] = [
        (bytes([_FIELD_1]), len(named) + 3 * level),  # the map entry
        (named + bytes([_FIELD_2]), 2 * level),  # its value: a Feature
        (bytes([_FLOAT_LIST if is_float else _INT64_LIST]), level),
        (bytes([_FIELD_1]), 0),  # the packed values
    ]
    columns = []
    for prefix, inner in parts:
        text = np.frombuffer(prefix, np.uint8)
        columns.append(np.broadcast_to(text, (len(sizes), len(text))))
        columns.append(_varints(sizes + inner, _LENGTH_BYTES))
    return np.concatenate(columns, axis=1)


def _varints(values: npt.NDArray[Any], width: int) -> npt.NDArray[np.uint8]:
    """Returns varints of exactly `width` bytes each, [N, width]."""
    bits = values.astype(np.int64).view(np.uint64)
    encoded = np.empty((len(bits), width), np.uint8)
    for position in range(width):
        group = (bits >> np.uint64(7 * position)).astype(np.uint8)
        last = position == width - 1
        encoded[:, position] = group & 0x7F if last else group | 0x80
    return encoded


def _length(size: int) -> bytes:
    """Returns the shortest varint of a length."""
    encoded = bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)


def _binary(matrix: npt.NDArray[np.uint8]) -> pa.Array:
    """Returns the rows of a matrix of bytes as binary values."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    flat = np.ascontiguousarray(matrix).reshape(-1)
    return _Payload(offsets, flat).array()
