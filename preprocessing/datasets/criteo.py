"""Converts Criteo's Display Advertising data (`train.txt`) to an impression log.

A line has 40 tab-separated values and there is no header: the label, 13 counts (I1 to
I13) and 26 hashed categories (C1 to C26); empty means missing. The data have no ids and
no times, but the lines are in the order of time, so the number of a line, from 0, is
its id and its time in milliseconds.

Source: Criteo Display Advertising Challenge, 2014.
"""

import gzip
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from tqdm import tqdm

from configs.errors import DataError
from configs.publishing import publish_folder
from preprocessing.datasets.log_writer import LogFormat, LogWriter

__all__ = ["COLUMNS", "convert_criteo"]

NUMERIC = [f"I{number}" for number in range(1, 14)]
CATEGORICAL = [f"C{number}" for number in range(1, 27)]
COLUMNS = ["label", *NUMERIC, *CATEGORICAL]
"""Of the source, in order. The log has `row` before them."""

_BLOCK_BYTES = 1 << 24


def convert_criteo(
    source: str | Path,
    target: str | Path,
    *,
    log_format: LogFormat = "parquet",
    rows_per_file: int = 2_000_000,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes `target`/impressions-*, a block of lines at a time.

    Args:
        source: `train.txt` or a file of its layout, plain or `.gz`.
        target: a folder that appears when it is complete.
        log_format: of the log.
        rows_per_file: a file is full when it has this many rows.
        overwrite: replace `target` if it exists.

    Returns:
        The number of rows and of positives.

    Raises:
        DataError: if the source cannot be read or a line is not of the layout; the
            message names the line.
    """
    rows = positives = 0
    with ExitStack() as stack:
        file = _open(Path(source))
        stack.callback(file.close)
        folder = stack.enter_context(
            publish_folder(target, overwrite=overwrite, mark="impressions-*")
        )
        log = stack.enter_context(
            LogWriter(folder, "impressions", log_format, rows_per_file)
        )
        progress = stack.enter_context(tqdm(unit=" rows", file=sys.stderr))
        for batch in _batches(file, str(source)):
            positives += _positives(batch["label"], rows, str(source))
            numbers = pa.array(np.arange(rows, rows + len(batch), dtype=np.int64))
            log.write(pa.Table.from_batches([batch]).add_column(0, "row", numbers))
            rows += len(batch)
            progress.update(len(batch))
    return {"rows": rows, "positives": positives}


def _open(source: Path) -> IO[bytes] | gzip.GzipFile:
    try:
        if source.suffix == ".gz":
            return gzip.open(source, "rb")
        return source.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror}") from error


def _batches(file: IO[bytes] | gzip.GzipFile, source: str) -> Iterator[pa.RecordBatch]:
    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    types = dict.fromkeys(["label", *NUMERIC], pa.int64())
    types |= dict.fromkeys(CATEGORICAL, pa.string())
    try:
        with pa_csv.open_csv(
            file,
            # Lines are numbered only where one thread reads them.
            pa_csv.ReadOptions(
                column_names=COLUMNS, block_size=_BLOCK_BYTES, use_threads=False
            ),
            pa_csv.ParseOptions(
                delimiter="\t",
                quote_char=False,
                ignore_empty_lines=False,
                invalid_row_handler=refuse,
            ),
            pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        ) as reader:
            yield from reader
    except (pa.ArrowInvalid, EOFError, OSError) as error:
        if wrong:
            row = wrong[0]
            raise DataError(
                f"{source}, line {row.number}: found {row.actual_columns} tab-separated"
                f" values, expected {len(COLUMNS)} (the label, I1..I13, C1..C26):"
                f" {row.text[:80]!r}. Remove or repair the line"
            ) from error
        raise DataError(
            f"{source}: {error}. Expected Criteo's train.txt: tab-separated, no header,"
            " the label (0 or 1), 13 integers, 26 texts"
        ) from error


def _positives(labels: pa.Array, first_row: int, source: str) -> int:
    valid = pc.fill_null(pc.is_in(labels, pa.array([0, 1], pa.int64())), False)
    if not pc.all(valid).as_py():
        place = pc.index(valid, False).as_py()
        label = labels[place].as_py()
        raise DataError(
            f"{source}, line {first_row + place + 1}: the label is"
            f" {'missing' if label is None else label}, expected 0 or 1"
        )
    return int(pc.sum(labels).as_py() or 0)
