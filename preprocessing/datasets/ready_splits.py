"""Data sets that come as one file for each split: one impression log of them all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from preprocessing.datasets.conversion import (
    LogSettings,
    check_labels,
    open_conversion,
)
from preprocessing.datasets.delimited import Layout, file_in, read_batches

__all__ = ["convert_ready_splits"]


def convert_ready_splits(
    source: str | Path,
    target: str | Path,
    layout: Layout,
    *,
    files: Mapping[str, str],
    labels: tuple[str, ...],
    settings: LogSettings,
    published: Mapping[str, int] | None = None,
    reshape: Callable[[Path, int, pa.Table], pa.Table] | None = None,
) -> dict[str, Any]:
    """Writes `target`/impressions-*: the columns of the files after two new ones.

    `row` numbers all rows from 0 and is their id. `position` is
    `conversion.SPLIT_WIDTH` times the number of the split (0 for training, 1 for
    validation, 2 for test), plus the row's number within it: a time to split by.
    Memory is that of a few blocks.

    Args:
        source: the folder with the files, plain or `.gz`.
        target: a folder that appears when it is complete.
        layout: of the files.
        files: the file of each split.
        labels: columns that must be 0 or 1.
        settings: how logs are written.
        published: the number of rows of each split, where it is known.
        reshape: makes other columns of a block, given its file and first line.

    Returns:
        Rows and label rates of each split.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    # All of them, before hours are spent on the first.
    paths = {split: file_in(source, name) for split, name in files.items()}
    result: dict[str, Any] = {}
    with open_conversion(target, settings, labels, result, published) as conversion:
        for split, path in paths.items():
            for line, batch in read_batches(path, layout):
                table = pa.Table.from_batches([batch])
                check_labels(path, line, table, labels)
                if reshape is not None:
                    table = reshape(path, line, table)
                conversion.write(split, table)
    return result
