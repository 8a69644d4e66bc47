"""Files of the encoded features of open impressions, which are not written again.

A file is as a block of a log was split, under a number of its own, and narrow
impressions name number and row. Most impressions leave after the shortest window and
some stay for weeks; so when few rows of a file are needed, or there are many files of a
size, what is needed is copied into one new file.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from preprocessing.arrays import one_array
from preprocessing.carry_over import carried_ordinal
from preprocessing.impression_rows import take_rows
from preprocessing.scratch import write_buckets

__all__ = ["compact_rows"]

_SPARSE = 4
"""A file of which less than one row in so many is needed is copied."""
_FAN = 16
"""Files of a size class that are copied into one."""


def compact_rows(
    opened: Path, files: Mapping[int, tuple[str, int]], target: Path, batch: int
) -> dict[int, tuple[str, int]]:
    """Decides which files of encoded features stay, and copies rows of the others.

    Args:
        opened: bucket file of the narrow impressions that are open; written again where
            rows were copied.
        files: path and rows of each file, by number.
        target: folder for a new file.
        batch: of the stream, which gives the new file its number.

    Returns:
        The files that are needed from now on, the new one included.
    """
    live = _needed(opened)
    copied = _to_copy(live, {number: rows for number, (_, rows) in files.items()})
    kept = {n: files[n] for n in sorted(live) if n not in copied}
    if copied:
        number = carried_ordinal(batch)
        path = target / f"{number:016}.arrow"
        paths = [files[n][0] for n in sorted(copied)]
        kept[number] = (str(path), _copy(opened, paths, copied, path, number))
    return kept


def _needed(opened: Path) -> dict[int, int]:
    """Returns how many rows of each file are needed."""
    with pa.memory_map(str(opened)) as source:
        table = pa.ipc.open_file(source).read_all()
    numbers, counts = np.unique(one_array(table["file"]).to_numpy(), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _to_copy(live: Mapping[int, int], rows: Mapping[int, int]) -> set[int]:
    sparse = {n for n, count in live.items() if count * _SPARSE < rows[n]}
    classes: dict[int, list[int]] = defaultdict(list)
    for number, count in live.items():
        classes[(count.bit_length() - 1) // 3].append(number)
    many = {n for members in classes.values() if len(members) >= _FAN for n in members}
    return sparse | many


def _copy(
    opened: Path, paths: Sequence[str], copied: set[int], target: Path, number: int
) -> int:
    """Copies the rows that open impressions need, and names them anew there."""
    with pa.memory_map(str(opened)) as source:
        file = pa.ipc.open_file(source)
        count = file.num_record_batches
        narrow = file.read_all()
        sizes = [file.get_batch(n).num_rows for n in range(count)]
    files = one_array(narrow["file"]).to_numpy().copy()
    rows = one_array(narrow["row"]).to_numpy().copy()
    home = one_array(narrow["home"]).to_numpy().astype(np.int64)
    moving = np.flatnonzero(np.isin(files, list(copied)))
    moving = moving[np.argsort(home[moving], kind="stable")]
    parts = []
    for bucket in np.unique(home[moving]):
        chosen = moving[home[moving] == bucket]
        needed = narrow.select(["file", "row"]).take(pa.array(chosen))
        parts.append(take_rows(paths, int(bucket), needed))
        rows[chosen] = np.arange(len(chosen))
    files[moving] = number
    target.parent.mkdir(parents=True, exist_ok=True)
    write_buckets(target, pa.concat_tables(parts), home[moving], count)
    for name, values in (("file", files), ("row", rows)):
        place = narrow.schema.get_field_index(name)
        narrow = narrow.set_column(place, name, pa.array(values))
    write_buckets(opened, narrow, np.repeat(np.arange(count), sizes), count)
    return len(moving)
