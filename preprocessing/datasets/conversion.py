"""What the converters share: the log they write, its progress and its summary."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from configs.errors import DataError
from configs.publishing import publish_folder
from preprocessing.datasets.delimited import line_error
from preprocessing.datasets.log_writer import LogFormat, LogWriter

__all__ = [
    "SPLITS",
    "SPLIT_WIDTH",
    "Conversion",
    "LogSettings",
    "check_labels",
    "open_conversion",
]

SPLITS = ("train", "validation", "test")

SPLIT_WIDTH = 100_000_000
"""Rows of split number k have the positions k * SPLIT_WIDTH and on, so that a job file
can split by position whatever the number of rows. The largest published split has 43
million. Positions stay below what looks like a time in seconds."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """How logs are written.

    Attributes:
        log_format: of the files.
        rows_per_file: a file is full when it has this many rows.
        overwrite: replace the folder if it exists.
    """

    log_format: LogFormat = "parquet"
    rows_per_file: int = 2_000_000
    overwrite: bool = False


class Conversion:
    """The impression log that is being written, and what is known of it.

    Args:
        log: of the impressions.
        progress: counts the rows.
        labels: columns whose positives are counted.
    """

    def __init__(self, log: LogWriter, progress: Any, labels: tuple[str, ...]) -> None:
        self._log, self._progress, self._labels = log, progress, labels
        self._rows: dict[str, int] = {}
        self._positives: dict[str, dict[str, int]] = {}
        self._stage = ""
        self.dropped: dict[str, int] = {}
        """Rows of the source that are not in the log, by reason."""

    @property
    def rows(self) -> int:
        """Written so far; also the number of the next row, from 0."""
        return self._log.rows

    def drop(self, reason: str, count: int) -> None:
        """Counts rows that were left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + int(count)

    def advance(self, rows: int, what: str) -> None:
        """Shows that rows of an input were read; `what` names the stage."""
        if what != self._stage:
            self._progress.reset()
            self._progress.set_description_str(what)
            self._stage = what
        self._progress.update(rows)

    def write(self, split: str, table: pa.Table) -> None:
        """Appends rows of one split, with a `row` and a `position` before them."""
        if not table.num_rows:
            return
        before = self._rows.get(split, 0)
        if before + table.num_rows > SPLIT_WIDTH:
            raise DataError(
                f"the {split} split has more than {SPLIT_WIDTH:,} rows, expected fewer:"
                " convert a part of the data"
            )
        numbers = np.arange(table.num_rows, dtype=np.int64)
        position = SPLITS.index(split) * SPLIT_WIDTH + before + numbers
        table = table.add_column(0, "position", pa.array(position))
        self._log.write(table.add_column(0, "row", pa.array(self.rows + numbers)))
        self._rows[split] = before + table.num_rows
        positives = self._positives.setdefault(split, {})
        for label in self._labels:
            found = int(pc.sum(table[label]).as_py() or 0)
            positives[label] = positives.get(label, 0) + found
        self.advance(table.num_rows, "written")

    def summary(self, published: Mapping[str, int]) -> dict[str, Any]:
        """Returns rows and label rates of each split, and what was dropped.

        Args:
            published: the number of rows of each split, where it is known.
        """
        result: dict[str, Any] = {"rows": self.rows}
        for split in (name for name in SPLITS if name in self._rows):
            rows = self._rows[split]
            part: dict[str, Any] = {"rows": rows}
            for label, count in self._positives[split].items():
                part |= {f"{label}_positives": count, f"{label}_rate": count / rows}
            result[split] = part
        if self.dropped:
            result["dropped"] = self.dropped
        if published:
            result["published_rows"] = dict(published)
            result["as_published"] = all(
                self._rows.get(split, 0) == rows for split, rows in published.items()
            )
        return result


@contextmanager
def open_conversion(
    target: str | Path,
    settings: LogSettings,
    labels: tuple[str, ...],
    result: dict[str, Any],
    published: Mapping[str, int] | None = None,
) -> Iterator[Conversion]:
    """Yields the conversion that writes `target`/impressions-* and summary.json.

    Args:
        target: a folder that appears when it is complete.
        settings: how logs are written.
        labels: columns whose positives are counted.
        result: takes the summary.
        published: the number of rows of each split, where it is known.

    Raises:
        DataError: if `target` cannot be made.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(
            publish_folder(target, overwrite=settings.overwrite, mark="impressions-*")
        )
        with (
            LogWriter(
                folder, "impressions", settings.log_format, settings.rows_per_file
            ) as log,
            tqdm(unit=" rows", unit_scale=True, file=sys.stderr) as progress,
        ):
            conversion = Conversion(log, progress, labels)
            yield conversion
        result |= conversion.summary(published or {})
        text = json.dumps(result, indent=2)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
    if not result.get("as_published", True):
        print(
            "note: these are not the numbers of rows that were published; see the"
            " summary",
            file=sys.stderr,
        )


def check_labels(
    path: Path, line: int, table: pa.Table, labels: tuple[str, ...]
) -> None:
    """Refuses a label other than 0 and 1.

    Args:
        path: the file that the rows come from.
        line: number of the first row's line.
        table: the rows.
        labels: columns to check.

    Raises:
        DataError: if a label is neither.
    """
    for label in labels:
        column = table[label]
        valid = pc.or_(pc.equal(column, 0), pc.equal(column, 1))
        if not pc.all(valid).as_py():
            place = pc.index(valid, False).as_py()
            raise line_error(
                path,
                line + place,
                f"the label {label} is {column[place].as_py()}, expected 0 or 1",
            )
