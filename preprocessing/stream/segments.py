"""Segments of what a stream is done with, and how they stay few.

Each micro-batch leaves a segment of each kind. Eight of about the same size are merged
into one, so that a row is written again once for each factor of eight, and a stream of
any length has some dozens of segments. Rows that need not be known any more go when
their segment is merged, or is old as a whole.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from preprocessing.scratch import read_bucket
from preprocessing.settled import sorted_by_fingerprint

__all__ = ["Segment", "merge_files", "merge_segments", "write_segment"]

_FAN = 8
"""Segments of a size class that are merged."""
_LARGEST = 16_000_000
"""Rows of a segment that is not merged any more."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A file of rows that are done with.

    Attributes:
        path: inside the folder of the state.
        rows: that it holds.
        newest: latest time of a row, ms.
    """

    path: str
    rows: int
    newest: int

    def to_json(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return asdict(self)


def write_segment(
    root: Path,
    path: str,
    parts: Sequence[str],
    oldest: int,
    trim: Callable[[pa.Table], pa.Table] | None = None,
) -> Segment | None:
    """Writes the rows of files that are later than `oldest` as one segment.

    Args:
        root: folder of the state.
        path: of the segment, inside.
        parts: bucket files.
        oldest: ms; rows up to then are left out.
        trim: leaves out further rows of a bucket.

    Returns:
        The segment, None if no row is left.
    """
    rows, newest = 0, oldest

    def remaining(table: pa.Table) -> pa.Table:
        nonlocal rows, newest
        table = table.filter(pc.greater(table["time"], oldest))
        if trim is not None:
            table = trim(table)
        rows += table.num_rows
        if table.num_rows:
            newest = max(newest, pc.max(table["time"]).as_py())
        return sorted_by_fingerprint(table)

    merge_files(parts, root / path, remaining)
    if rows == 0:
        (root / path).unlink()
        return None
    return Segment(path=path, rows=rows, newest=newest)


def merge_segments(
    root: Path,
    folder: str,
    segments: Sequence[Segment],
    oldest: int,
    trim: Callable[[pa.Table], pa.Table] | None = None,
) -> list[Segment]:
    """Returns the segments of a kind that stay: few, and with rows later than `oldest`.

    The files of those that were merged are not removed: until the micro-batch is
    committed, they are what it goes on from.

    Args:
        root: folder of the state.
        folder: for merged segments, inside; their names are those of the last of their
            parts, with a further letter.
        segments: in order of age.
        oldest: ms; rows up to then need not be known.
        trim: leaves out further rows of a bucket, when segments are merged.
    """
    kept = [segment for segment in segments if segment.newest > oldest]
    while True:
        classes: dict[int, list[Segment]] = defaultdict(list)
        for segment in kept:
            if segment.rows < _LARGEST:
                classes[_size_class(segment.rows)].append(segment)
        full = [c for c, members in sorted(classes.items()) if len(members) >= _FAN]
        if not full:
            return kept
        parts = classes[full[0]]
        name = f"{folder}/{Path(parts[-1].path).stem}m.arrow"
        paths = [str(root / part.path) for part in parts]
        merged = write_segment(root, name, paths, oldest, trim)
        place = kept.index(parts[-1])
        kept[place : place + 1] = [] if merged is None else [merged]
        kept = [segment for segment in kept if segment not in parts]


def merge_files(
    paths: Sequence[str],
    target: Path,
    change: Callable[[pa.Table], pa.Table] | None = None,
) -> None:
    """Writes bucket files as one.

    Args:
        paths: of files with equal columns, at least one.
        target: the file to write.
        change: what becomes of the rows of a bucket.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with pa.memory_map(paths[0]) as source:
        first = pa.ipc.open_file(source)
        count, schema = first.num_record_batches, first.schema
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for bucket in range(count):
            table = read_bucket(paths, bucket)
            if table is None:
                raise ValueError("expected a file to merge")
            table = table.combine_chunks() if change is None else change(table)
            writer.write_batch(_as_batch(table, schema))


def _as_batch(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    if batches:
        return batches[0]
    return pa.RecordBatch.from_arrays(
        [pa.nulls(0, field.type) for field in schema], schema=schema
    )


def _size_class(rows: int) -> int:
    """Returns how often a number can be divided by eight."""
    return (max(rows, 1).bit_length() - 1) // 3
