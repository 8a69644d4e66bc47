"""The golden rows of an example set: raw rows, and the same rows encoded."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from configs.days import local_sets
from configs.errors import DataError
from configs.job import Job
from configs.manifest import GOLDEN_EXAMPLES, GOLDEN_ROWS, read_manifest
from serving.specification import Specification
from serving.values import Arrays, columns_of_rows, pack_columns

__all__ = ["golden_arrays", "golden_examples", "golden_rows", "golden_set"]


def golden_rows(examples: str | Path) -> list[dict[str, Any]]:
    """Reads the raw golden rows of an example set.

    Raises:
        DataError: if they are missing or damaged.
    """
    path = Path(examples) / GOLDEN_ROWS
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.split("\n") if line]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read: {error}. Run preprocessing again"
        ) from error
    return rows


def golden_set(job: Job) -> str:
    """Returns the example set with the golden rows of a job: of several days, or of
    the numbered sets of a stream, the last one that has any."""
    folders = local_sets(job.data.examples, job.data.days)
    if len(folders) == 1:
        return folders[0]
    filled = (f for f in reversed(folders) if read_manifest(f).golden_rows)
    return next(filled, folders[-1])


def golden_arrays(specification: Specification, rows: list[dict[str, Any]]) -> Arrays:
    """Packs raw golden rows as the server packs a request.

    Raises:
        DataError: if a row does not fit the specification.
    """
    columns, problems = columns_of_rows(specification, rows, allow_extra=True)
    arrays, more = pack_columns(specification, columns)
    if problems or more:
        raise DataError(
            f"{GOLDEN_ROWS} of the example set does not fit the job:"
            f" {[*problems, *more][0]}. Run preprocessing again"
        )
    return arrays


def golden_examples(examples: str | Path, count: int) -> list[bytes]:
    """Reads the encoded golden rows.

    Raises:
        DataError: if they are missing, damaged, or not `count`.
    """
    path = Path(examples) / GOLDEN_EXAMPLES
    try:
        records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    except tf.errors.OpError as error:
        raise DataError(
            f"{path} cannot be read: {error.message}. Run preprocessing again"
        ) from error
    if len(records) != count:
        raise DataError(
            f"{path} has {len(records)} rows, and {GOLDEN_ROWS} has {count}: expected"
            " as many. Run preprocessing again"
        )
    return records
