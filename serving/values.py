"""Raw values, checked against the specification and packed into arrays.

Legend: B rows, L the longest list of a column. A categorical value becomes its
canonical text as UTF-8, `b""` where missing; a number becomes float32, NaN where
missing; a time becomes int64 in milliseconds since the epoch, `NO_TIME` where missing.
Lists are padded on the right with the same. The exported graph does the rest.
"""

import base64
import binascii
import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.canonical import CategoricalType, canonical_text
from configs.times import NO_TIME, TimeUnit, time_ms
from serving.problems import Problem, shown
from serving.specification import Column, Specification

__all__ = ["Arrays", "columns_of_rows", "pack_columns"]

Arrays = dict[str, npt.NDArray[Any]]
"""By column: float32 or object (bytes); [B], or [B, L] for lists."""

_EXPECTED = re.compile(r"expected (.*), got ")

_Flat = tuple[npt.NDArray[Any], dict[int, tuple[str, str]]]
"""Packed values, and (found, expected) of the bad ones by position."""


def columns_of_rows(
    specification: Specification, rows: Sequence[object], *, allow_extra: bool
) -> tuple[dict[str, list[Any]], list[Problem]]:
    """Turns rows into columns.

    Args:
        specification: of the model.
        rows: JSON values; each should be an object with a member for each column.
        allow_extra: whether rows may have other members too, as rows of a log have.

    Returns:
        The values by column (None where a row is at fault), and the problems.
    """
    names = specification.column_names()
    known = set(names)
    problems: list[Problem] = []
    fitting: list[Mapping[str, Any]] = []
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            problems.append(
                Problem(
                    feature=None,
                    row=position,
                    found=shown(row),
                    expected="an object with a member for each feature",
                )
            )
            row = {}
        elif row.keys() != known:
            problems += _member_problems(specification, row, position, allow_extra)
        fitting.append(row)
    return {name: [row.get(name) for row in fitting] for name in names}, problems


def _member_problems(
    specification: Specification, row: Mapping[str, Any], position: int, extra: bool
) -> list[Problem]:
    problems = [
        Problem(
            feature=column.name,
            row=position,
            found="no such member",
            expected=f"{column.describe()} (null where it is missing)",
        )
        for column in specification.columns
        if column.name not in row
    ]
    if not extra:
        known = ", ".join(specification.column_names())
        problems += [
            Problem(
                feature=name,
                row=position,
                found="an extra feature",
                expected=f"only the features {known}",
            )
            for name in row.keys() - set(specification.column_names())
        ]
    return problems


def pack_columns(
    specification: Specification,
    columns: Mapping[str, Sequence[Any]],
    *,
    max_values: int | None = None,
) -> tuple[Arrays, list[Problem]]:
    """Checks and packs the values of all columns; each has B of them.

    Args:
        specification: of the model.
        columns: JSON values by column name.
        max_values: bound on B * L of any column, so that one long list among many
            short ones cannot exhaust memory.

    Returns:
        The arrays, to be used only if there is no problem; and the problems.
    """
    arrays: Arrays = {}
    problems: list[Problem] = []
    lengths: dict[str, npt.NDArray[np.int64]] = {}
    for column in specification.columns:
        values = columns[column.name]
        if column.is_list:
            packed, lengths[column.name], found = _pack_lists(
                column, values, max_values
            )
        else:
            packed, bad = _pack_values(column, values)
            found = [_problem(column, row, *texts) for row, texts in bad.items()]
        arrays[column.name] = packed
        problems += found
    spoiled = {(problem.feature, problem.row) for problem in problems}
    for sequence in specification.sequences():
        problems += _alignment_problems(sequence, lengths, spoiled)
    return arrays, problems


def _problem(column: Column, row: int | None, found: str, expected: str) -> Problem:
    return Problem(feature=column.name, row=row, found=found, expected=expected)


def _alignment_problems(
    sequence: Sequence[Column],
    lengths: Mapping[str, npt.NDArray[np.int64]],
    spoiled: set[tuple[str | None, int | None]],
) -> list[Problem]:
    first = sequence[0].name
    problems = []
    for column in sequence[1:]:
        unequal = np.flatnonzero(lengths[column.name] != lengths[first])
        for row in unequal.tolist():
            if spoiled & {(column.name, row), (first, row)}:
                continue
            wanted, found = int(lengths[first][row]), int(lengths[column.name][row])
            problems.append(
                _problem(
                    column,
                    row,
                    f"a list of {found}",
                    f"a list as long as that of {first!r}, which has {wanted}",
                )
            )
    return problems


def _pack_lists(
    column: Column, values: Sequence[Any], max_values: int | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], list[Problem]]:
    """Returns [B, L] values, [B] lengths, problems."""
    problems = []
    lists: list[list[Any]] = []
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, list):
            problems.append(_problem(column, row, shown(value), column.describe()))
            value = None
        lists.append([] if value is None else value)
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    flat, bad = _pack_values(column, [item for values in lists for item in values])
    ends = np.cumsum(lengths)
    for position, (found, expected) in bad.items():
        row = int(np.searchsorted(ends, position, side="right"))
        place = position - int(ends[row] - lengths[row])
        problems.append(_problem(column, row, f"{found} at position {place}", expected))
    longest = max(1, int(lengths.max(initial=0)))
    if column.length is not None:
        spoiled = {problem.row for problem in problems}
        problems += [
            problem
            for problem in _vector_problems(column, flat, lengths)
            if problem.row not in spoiled
        ]
        longest = column.length
    elif max_values is not None and len(lists) * longest > max_values:
        problems.append(
            _problem(
                column,
                None,
                f"{len(lists)} instances, the longest with a list of {longest}",
                f"at most {max_values} values after padding: send fewer instances",
            )
        )
    if problems:
        return flat[:0], lengths, problems
    return _pad(flat, lengths, longest, column.is_number), lengths, problems


def _pad(
    flat: npt.NDArray[Any], lengths: npt.NDArray[np.int64], longest: int, number: bool
) -> npt.NDArray[Any]:
    padding = np.nan if number else b""
    padded = np.full((len(lengths), longest), padding, dtype=flat.dtype)
    padded[np.arange(longest) < lengths[:, np.newaxis]] = flat
    return padded


def _vector_problems(
    column: Column, flat: npt.NDArray[Any], lengths: npt.NDArray[np.int64]
) -> Iterator[Problem]:
    """A dense vector is whole, or missing: null, empty, or nothing but NaN."""
    rows = np.flatnonzero(lengths > 0)
    if not len(rows):
        return
    starts = (np.cumsum(lengths) - lengths)[rows]
    gaps = np.add.reduceat(np.isnan(flat), starts, dtype=np.int64)
    for row, size, gap in zip(
        rows.tolist(), lengths[rows].tolist(), gaps.tolist(), strict=True
    ):
        if size != column.length:
            yield _problem(column, row, f"a list of {size}", column.describe())
        elif 0 < gap < size:
            yield _problem(
                column,
                row,
                f"a list with {gap} missing value(s)",
                f"{column.describe()}, or null where the whole is missing",
            )


def _pack_values(column: Column, values: Sequence[Any]) -> _Flat:
    if column.type == "number":
        packed, bad = _pack_numbers(values)
        if column.non_negative:
            for position in np.flatnonzero(packed < 0).tolist():
                bad[position] = shown(values[position]), "a number that is not negative"
        return packed, bad
    if column.type == "time":
        return _pack_times(values, column.unit or "ms")
    return _pack_texts(values, column.type)


def _pack_numbers(values: Sequence[Any]) -> _Flat:
    bad: dict[int, tuple[str, str]] = {}
    if set(map(type, values)) <= {float}:
        wide = np.array(values, dtype=np.float64)
    else:
        wide = np.empty(len(values), dtype=np.float64)
        for position, value in enumerate(values):
            number = _number(value)
            if number is None:
                bad[position] = shown(value), "a number"
                number = math.nan
            wide[position] = number
    with np.errstate(over="ignore"):
        packed = wide.astype(np.float32)
    for position in np.flatnonzero(np.isinf(packed)).tolist():
        bad[position] = shown(values[position]), "a finite number that fits 32 bits"
    return packed, bad


def _pack_times(values: Sequence[Any], unit: TimeUnit) -> _Flat:
    packed = np.full(len(values), NO_TIME, dtype=np.int64)
    bad: dict[int, tuple[str, str]] = {}
    for position, value in enumerate(values):
        if value in (None, ""):
            continue
        try:
            packed[position] = time_ms(value, unit)
        except (ValueError, OverflowError):
            bad[position] = shown(value), f"a time in {unit!r}"
    return packed, bad


def _number(value: object) -> float | None:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # An integer beyond every float.
        return math.inf


def _pack_texts(values: Sequence[Any], declared: CategoricalType) -> _Flat:
    packed = np.full(len(values), b"", dtype=object)
    bad: dict[int, tuple[str, str]] = {}
    if declared == "string" and set(map(type, values)) <= {str}:
        # The usual case, several times as fast: texts stay as they are.
        with contextlib.suppress(UnicodeEncodeError):
            packed[:] = [value.encode() for value in values]
            return packed, bad
    for position, value in enumerate(values):
        try:
            if isinstance(value, dict):
                value = _binary(value)
            packed[position] = canonical_text(value, declared).encode()
        except ValueError as error:
            # "expected an integer, got ..."; integers too long to print say more.
            expected = _EXPECTED.match(str(error))
            words = expected[1] if expected else "an integer that fits 64 bits"
            bad[position] = shown(value), words
    return packed, bad


def _binary(value: dict[str, Any]) -> str:
    """Decodes `{"b64": ...}`, TensorFlow Serving's form of bytes."""
    text = value.get("b64")
    if len(value) != 1 or not isinstance(text, str):
        raise ValueError('expected text or {"b64": ...}, got an object')
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("expected base64 of UTF-8 text, got other bytes") from error
