"""Golden rows of an exported version: raw rows with the predictions they must get."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from configs.errors import ExportError
from serving.specification import EXTRA

__all__ = ["GOLDEN_FILE", "GoldenRow", "read_golden", "write_golden"]

GOLDEN_FILE = f"{EXTRA}/golden.jsonl"


@dataclass(frozen=True, kw_only=True)
class GoldenRow:
    """One row.

    Attributes:
        row: raw values by column.
        predictions: probability by task.
    """

    row: Mapping[str, Any]
    predictions: Mapping[str, float]


def read_golden(folder: str | Path, limit: int) -> list[GoldenRow]:
    """Reads the first `limit` golden rows of an exported version.

    Raises:
        ExportError: if they are absent or damaged.
    """
    path = Path(folder) / GOLDEN_FILE
    try:
        with path.open(encoding="utf-8") as lines:
            return [_golden_row(line) for line in islice(lines, limit)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{path} cannot be read: {error!r}. Export the model again"
        ) from error


def write_golden(
    folder: str | Path,
    rows: Sequence[Mapping[str, Any]],
    predictions: Mapping[str, Iterable[float]],
) -> None:
    """Writes golden rows into the folder of a version."""
    names = list(predictions)
    scores = zip(*predictions.values(), strict=True)
    with (Path(folder) / GOLDEN_FILE).open("w", encoding="utf-8") as file:
        for row, values in zip(rows, scores, strict=True):
            entry = {
                "row": dict(row),
                "predictions": {
                    n: float(v) for n, v in zip(names, values, strict=True)
                },
            }
            file.write(json.dumps(entry) + "\n")


def _golden_row(line: str) -> GoldenRow:
    entry = json.loads(line)
    return GoldenRow(row=dict(entry["row"]), predictions=dict(entry["predictions"]))
