"""Moves the times inside records."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from configs.times import TimeUnit, spelled_time, time_ms
from preprocessing.fields import Field

__all__ = ["Stamp", "stamp_of"]

Stamp = Callable[[bytes], bytes]
"""Returns a line with other times."""


def stamp_of(fields: Sequence[Field], moved: Callable[[int], int]) -> Stamp:
    """Returns what moves all times of a log's records that the job reads.

    Args:
        fields: of the log.
        moved: returns the new time of an old one, ms since the epoch.
    """
    units = {f.column: f.unit for f in fields if f.kind in ("time", "moment")}
    patterns = [(_pattern(c), unit) for c, unit in units.items() if unit != "iso"]

    def stamp(line: bytes) -> bytes:
        if len(patterns) == len(units):
            quick = _quick(line, patterns, moved)
            if quick is not None:
                return quick
        return _slow(line, units, moved)

    return stamp


def _pattern(column: str) -> re.Pattern[bytes]:
    # The quotes of a key are never escaped, those inside a text always are.
    key = re.escape(json.dumps(column, ensure_ascii=False).encode())
    return re.compile(rb"(?<!\\)" + key + rb"\s*:\s*(-?\d{1,18})(?=\s*[,}])")


def _quick(
    line: bytes,
    patterns: Sequence[tuple[re.Pattern[bytes], TimeUnit]],
    moved: Callable[[int], int],
) -> bytes | None:
    """Replaces the digits; None where the line is not as simple as that."""
    for pattern, unit in patterns:
        found = list(pattern.finditer(line))
        if len(found) != 1:
            return None
        try:
            time = _spelled(int(found[0][1]), unit, moved)
        except ValueError:
            return None
        start, end = found[0].span(1)
        line = line[:start] + json.dumps(time).encode() + line[end:]
    return line


def _slow(
    line: bytes, units: dict[str, TimeUnit], moved: Callable[[int], int]
) -> bytes:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(record, dict):
        return line
    for column, unit in units.items():
        try:
            record[column] = _spelled(record[column], unit, moved)
        except (KeyError, ValueError):
            continue
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(record, separators=(",", ":")).encode()


def _spelled(value: object, unit: TimeUnit, moved: Callable[[int], int]) -> Any:
    spelled = spelled_time(moved(time_ms(value, unit)), unit)
    if spelled is None:
        raise ValueError("the unit cannot spell the new time")
    return spelled
