"""Writes and walks TFRecord files.

A record is: its length (uint64), the masked CRC-32C of those 8 bytes, the data, and
the data's masked CRC-32C, all little-endian.
Source: tensorflow/core/lib/io/record_writer.cc and tensorflow/core/lib/hash/crc32c.h.
"""

import gzip
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import DataError
from configs.manifest import Shard

__all__ = ["frame_records", "read_records", "write_records"]

_MASK_DELTA = 0xA282EAD8
_HEADER_BYTES = 12
_FOOTER_BYTES = 4


def frame_records(records: pa.Array) -> bytes:
    """Returns the records as the bytes of a TFRecord file.

    Args:
        records: binary [N].
    """
    values = records.to_numpy(zero_copy_only=False)
    checksums = np.fromiter(
        (google_crc32c.value(value) for value in values), np.uint32, len(values)
    )
    lengths = pc.binary_length(records).to_numpy(zero_copy_only=False)
    header = np.empty((len(values), _HEADER_BYTES), np.uint8)
    header[:, :8] = lengths.astype("<u8")[:, np.newaxis].view(np.uint8)
    header[:, 8:] = _bytes(_masked(_length_checksums(lengths)))
    footer = _bytes(_masked(checksums))
    framed = pc.binary_join_element_wise(
        _binary(header), records, _binary(footer), pa.scalar(b"", pa.binary())
    )
    return bytes(_content(framed))


def write_records(
    folder: Path, path: str, blocks: Iterable[pa.Array], *, compress: bool
) -> Shard:
    """Writes a TFRecord file, under another name until it is whole.

    Args:
        folder: that the path of the shard is relative to.
        path: of the file, inside `folder`.
        blocks: serialised records.
        compress: whether to write gzip (without name and time, so that equal records
            give equal bytes).
    """
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    rows = 0
    with open(partial, "wb") as raw:
        sink = _sink(raw, compress)
        for block in blocks:
            rows += len(block)
            sink.write(frame_records(block))
        if compress:
            sink.close()
    with open(partial, "rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    size = partial.stat().st_size
    os.replace(partial, target)
    return Shard(path=path, rows=rows, bytes=size, sha256=digest)


def read_records(path: str | Path) -> Iterator[bytes]:
    """Yields the records of a TFRecord file (gzip if its name ends in `.gz`).

    Raises:
        DataError: if a record is cut, or a checksum differs.
    """
    name = str(path)
    with gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb") as stream:
        while header := stream.read(_HEADER_BYTES):
            yield _read_record(cast(IO[bytes], stream), header, name)


def _read_record(stream: IO[bytes], header: bytes, path: str) -> bytes:
    if len(header) == _HEADER_BYTES:
        (length, checksum) = struct.unpack("<QI", header)
        if _masked_value(header[:8]) == checksum:
            data = stream.read(length)
            footer = stream.read(_FOOTER_BYTES)
            if len(data) == length and len(footer) == _FOOTER_BYTES:
                if _masked_value(data) == struct.unpack("<I", footer)[0]:
                    return data
                raise DataError(
                    f"{path}: the checksum of a record differs: the file is damaged."
                    " Make it again"
                )
            raise DataError(f"{path} ends inside a record: it was cut. Make it again")
        raise DataError(
            f"{path}: the checksum of a record's length differs: the file is damaged,"
            " or no TFRecord file. Make it again"
        )
    raise DataError(f"{path} ends inside a record: it was cut. Make it again")


def _sink(raw: IO[bytes], compress: bool) -> Any:
    if not compress:
        return raw
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)


def _masked_value(data: bytes) -> int:
    checksum: int = google_crc32c.value(data)
    # As `_masked`; arrays of one element take ten times as long.
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _masked(checksums: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    rotated = (checksums >> np.uint32(15)) | (checksums << np.uint32(17))
    with np.errstate(over="ignore"):
        return rotated + np.uint32(_MASK_DELTA)


def _length_checksums(lengths: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    distinct, inverse = np.unique(lengths, return_inverse=True)
    checksums = [google_crc32c.value(struct.pack("<Q", int(n))) for n in distinct]
    found: npt.NDArray[np.uint32] = np.array(checksums, np.uint32)[inverse]
    return found


def _bytes(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    return values.astype("<u4")[:, np.newaxis].view(np.uint8)


def _binary(matrix: npt.NDArray[np.uint8]) -> pa.Array:
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    return pa.BinaryArray.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(matrix.tobytes())]
    )


def _content(array: pa.Array) -> memoryview:
    """Returns the bytes of all values of a binary array, one after another."""
    if len(array) == 0:
        return memoryview(b"")
    offsets = np.frombuffer(array.buffers()[1], np.int32)
    first, last = offsets[array.offset], offsets[array.offset + len(array)]
    return memoryview(array.buffers()[2])[first:last]
