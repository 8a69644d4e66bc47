"""Scores the rows of a log with an exported model, batch by batch."""

import contextlib
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from configs.errors import DataError
from serving.problems import Problem, listed, shown
from serving.saved_model import LoadedModel, load_model
from serving.values import columns_of_rows, pack_columns

__all__ = ["Scored", "predict_file"]

_BATCH_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What became of a file.

    Attributes:
        rows: scored.
        skipped: rows that could not be scored; their line of the output is `null`.
    """

    rows: int
    skipped: int


def predict_file(
    folder: str | Path,
    rows: str | Path,
    output: str | Path | None = None,
    *,
    skip_bad: bool = False,
) -> Scored:
    """Scores a JSONL file (`.gz` or not), a line of output for each line of input.

    A line of output is an object with the probability of each task. Members of a row
    that the model does not know are ignored, because rows of a log have labels too.

    Args:
        folder: of an exported version.
        rows: the file to score.
        output: the file to write, which appears when it is complete; standard output
            if absent.
        skip_bad: write `null` for rows that do not fit, instead of stopping.

    Raises:
        DataError: if the file cannot be read, or a row does not fit; the message names
            the line.
        ExportError: if the model cannot be loaded.
    """
    rows = Path(rows)
    if not rows.is_file():
        raise DataError(f"{rows} is no file; expected a JSONL file of log rows")
    model = load_model(folder)
    scored = skipped = 0
    with _reading(rows) as lines, _writing(output) as out:
        first_line = 1
        while batch := list(islice(lines, _BATCH_ROWS)):
            scores = _score(model, rows, batch, first_line, skip_bad)
            out.writelines(json.dumps(score) + "\n" for score in scores)
            skipped += sum(score is None for score in scores)
            scored += sum(score is not None for score in scores)
            first_line += len(batch)
    return Scored(rows=scored, skipped=skipped)


def _score(
    model: LoadedModel, path: Path, batch: list[bytes], first: int, skip_bad: bool
) -> list[dict[str, float] | None]:
    """Scores lines, the first of which has the number `first`."""
    parsed, problems = _parse(batch)
    columns, more = columns_of_rows(model.specification, parsed, allow_extra=True)
    spoiled = {problem.row for problem in problems}
    problems += [problem for problem in more if problem.row not in spoiled]
    arrays, found = pack_columns(model.specification, columns)
    spoiled = {problem.row for problem in problems}
    problems += [problem for problem in found if problem.row not in spoiled]
    good: Sequence[int] = range(len(batch))
    if problems and not skip_bad:
        raise _refusal(path, first, len(batch), problems)
    if problems:
        bad = {problem.row for problem in problems}
        good = [row for row in good if row not in bad]
        kept = {name: [values[r] for r in good] for name, values in columns.items()}
        arrays, _ = pack_columns(model.specification, kept)
    scores: list[dict[str, float] | None] = [None] * len(batch)
    if good:
        for row, score in zip(good, _by_row(model.predict(arrays)), strict=True):
            scores[row] = score
    if not skip_bad and None in scores:
        raise DataError(
            f"{path}, line {first + scores.index(None)}: the model overflows: a number"
            " lies far outside of what it has seen. Mend the row, or say --skip-bad"
        )
    return scores


def _refusal(
    path: Path, first: int, count: int, problems: Sequence[Problem]
) -> DataError:
    worst = listed(problems)[0]
    place = f"feature {worst.feature!r}: " if worst.feature else ""
    return DataError(
        f"{path}, line {first + (worst.row or 0)}: {place}expected {worst.expected},"
        f" found {worst.found} ({len(problems)} problem(s) in lines {first} to"
        f" {first + count - 1}). Mend the file, or say --skip-bad to write null for"
        " such rows"
    )


def _parse(batch: list[bytes]) -> tuple[list[Any], list[Problem]]:
    """Returns the rows, None where a line is no JSON object."""
    rows: list[Any] = []
    problems = []
    for position, line in enumerate(batch):
        try:
            row = json.loads(line.decode("utf-8"))
            found = shown(row)
        except (ValueError, RecursionError) as error:
            row, found = None, f"no JSON ({error})"
        if not isinstance(row, dict):
            row = None
            problems.append(
                Problem(
                    feature=None, row=position, found=found, expected="a JSON object"
                )
            )
        rows.append(row)
    return rows, problems


def _by_row(predictions: dict[str, Any]) -> Iterator[dict[str, float] | None]:
    finite = np.all([np.isfinite(values) for values in predictions.values()], axis=0)
    columns = [values.tolist() for values in predictions.values()]
    for row, usable in zip(zip(*columns, strict=True), finite, strict=True):
        yield dict(zip(predictions, row, strict=True)) if usable else None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Iterator[bytes]]:
    with path.open("rb") as raw:
        # Told by content, so that a renamed file is read as well.
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        file: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        yield _lines(path, file)


def _lines(path: Path, file: Any) -> Iterator[bytes]:
    try:
        yield from file
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read to its end: {error}. Is it truncated?"
        ) from error


@contextlib.contextmanager
def _writing(output: str | Path | None) -> Iterator[IO[str]]:
    """Yields a file that becomes `output` if the block ends well."""
    if output is None:
        yield sys.stdout
        return
    output = Path(output)
    partial = output.with_name(f".{output.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as raw:
            binary: Any = raw
            if output.suffix == ".gz":
                binary = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
            with io.TextIOWrapper(binary, encoding="utf-8") as file:
                yield file
        os.replace(partial, output)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
