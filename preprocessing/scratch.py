"""The scratch folder of a run: bucket files, summaries and dead letters in progress.

It lies beside the example set, so that all workers of a runner reach it. A file is
written under another name and renamed, and its name says which block or bucket it
comes from, so that a retried step replaces its file with the same bytes.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

__all__ = [
    "BucketFile",
    "Scratch",
    "read_bucket",
    "write_atomically",
    "write_buckets",
]


@dataclass(frozen=True)
class Scratch:
    """Paths of a scratch folder."""

    root: str

    def folder(self, name: str) -> Path:
        """Returns a folder inside, made where absent."""
        path = Path(self.root) / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, kind: str, name: str, value: Mapping[str, Any]) -> None:
        """Writes a small record."""
        path = self.folder(kind) / f"{name}.json"
        write_atomically(path, json.dumps(value).encode())

    def read_json(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yields the records of a kind, in the order of their names."""
        for path in sorted(self.folder(kind).glob("*.json")):
            yield json.loads(path.read_bytes())


@dataclass(frozen=True, kw_only=True)
class BucketFile:
    """A bucket's rows in a file.

    Attributes:
        kind: what the rows are, by the stage that wrote them; the name of a label for
            events.
        bucket: number of the bucket.
        path: of the file.
    """

    kind: str
    bucket: int
    path: str


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    partial.write_bytes(content)
    os.replace(partial, path)


def write_buckets(
    path: Path, table: pa.Table, buckets: npt.NDArray[np.int64], count: int
) -> list[int]:
    """Writes the rows of `table` sorted by bucket, one record batch for each bucket.

    Args:
        path: the Arrow IPC file.
        table: rows, in an order that stays inside each bucket.
        buckets: number of each row's bucket, [N].
        count: number of buckets.

    Returns:
        The buckets that have rows.
    """
    order = np.argsort(buckets, kind="stable")
    ordered = table.take(pa.array(order)).combine_chunks()
    sizes = np.bincount(buckets, minlength=count)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with pa.OSFile(str(partial), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            for bucket in range(count):
                rows = ordered.slice(starts[bucket], sizes[bucket])
                writer.write_batch(_one_batch(rows))
    os.replace(partial, path)
    return [int(bucket) for bucket in np.flatnonzero(sizes)]


def read_bucket(paths: Iterable[str], bucket: int) -> pa.Table | None:
    """Returns a bucket's rows out of bucket files, None if there is no file."""
    batches = []
    for path in paths:
        with pa.memory_map(path) as source:
            batches.append(pa.ipc.open_file(source).get_batch(bucket))
    return pa.Table.from_batches(batches) if batches else None


def _one_batch(rows: pa.Table) -> pa.RecordBatch:
    batches = rows.to_batches()
    if batches:
        return batches[0]
    return pa.RecordBatch.from_arrays(
        [pa.nulls(0, field.type) for field in rows.schema], schema=rows.schema
    )
