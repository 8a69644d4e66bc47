"""Times in logs and requests: units, and milliseconds since the epoch."""

import math
from datetime import UTC, datetime, timedelta
from typing import Literal

__all__ = [
    "EARLIEST_MS",
    "LATEST_MS",
    "NO_TIME",
    "TimeUnit",
    "iso_time_ms",
    "spelled_time",
    "time_ms",
]

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]
"""Unit of a time column; `iso` is ISO 8601 text (UTC unless it names an offset)."""

EARLIEST_MS, LATEST_MS = -(2**53), 2**53
"""Times outside are refused: they are units mistaken, or garbage."""

NO_TIME = -(2**63)
"""Stands for a missing time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MULTIPLIER: dict[TimeUnit, tuple[int, int]] = {
    "s": (1_000, 1),
    "ms": (1, 1),
    "us": (1, 1_000),
    "ns": (1, 1_000_000),
}


def time_ms(value: object, unit: TimeUnit) -> int:
    """Converts a time to milliseconds since the epoch, rounded down.

    Raises:
        ValueError: if it is no time of that unit.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError(f"expected a time, got {value!r}")
    if unit == "iso":
        if not isinstance(value, str):
            raise ValueError(f"expected ISO 8601 text, got {value!r}")
        return iso_time_ms(value)
    if isinstance(value, str):
        # int() and float() take more than digits ("1_0", " 1"), vectors do not.
        if not value.isascii() or "_" in value or value != value.strip():
            raise ValueError(f"expected a number, got {value!r}")
        digits = value.lstrip("-").isdigit()
        value = int(value) if digits else float(value)
    multiplier, divisor = _MULTIPLIER[unit]
    if isinstance(value, int):
        time = value * multiplier // divisor
    elif isinstance(value, float) and math.isfinite(value):
        time = math.floor(value * multiplier / divisor)
    else:
        raise ValueError(f"expected a time, got {value!r}")
    return _in_range(time)


def iso_time_ms(text: str) -> int:
    """Converts ISO 8601 text (UTC unless it names an offset) to milliseconds.

    Raises:
        ValueError: if it is none.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _in_range((moment - _EPOCH) // timedelta(milliseconds=1))


def spelled_time(time: int, unit: TimeUnit) -> int | float | str | None:
    """Returns what `time_ms` reads as these milliseconds; None for `NO_TIME`, and for
    a time that the unit cannot spell."""
    if time == NO_TIME:
        return None
    if unit == "iso":
        try:
            return (_EPOCH + timedelta(milliseconds=time)).isoformat()
        except OverflowError:
            return None
    multiplier, divisor = _MULTIPLIER[unit]
    if time * divisor % multiplier == 0:
        return time * divisor // multiplier
    value = time / multiplier
    # The nearest float may lie below, and is rounded down when it is read.
    return value if time_ms(value, unit) == time else math.nextafter(value, math.inf)


def _in_range(time: int) -> int:
    if not EARLIEST_MS <= time <= LATEST_MS:
        raise ValueError(f"{time} ms is no plausible time")
    return time
