"""Durations and moments as a job file writes them, in milliseconds."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

__all__ = ["DAY_MS", "Duration", "Moment", "duration_ms", "moment_ms"]

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DAY_MS = _UNITS_MS["d"]


def duration_ms(text: object) -> int:
    """Converts `"30m"`, `"7d"`, `"500ms"` to milliseconds.

    Raises:
        ValueError: if `text` is not a whole number followed by ms, s, m, h or d.
    """
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"expected a duration such as '30m' or '7d' (a whole number and one of"
            f" {', '.join(_UNITS_MS)}), got {text!r}"
        )
    return int(match[1]) * _UNITS_MS[match[2]]


def moment_ms(value: object) -> int:
    """Converts an ISO 8601 date or time (UTC unless it names an offset), or an integer
    in milliseconds, to milliseconds since the epoch.

    Raises:
        ValueError: if `value` is neither.
    """
    if isinstance(value, bool):
        raise ValueError(f"expected a time, got {value!r}")
    if isinstance(value, int):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime):
        raise ValueError(
            "expected an ISO 8601 date or time such as '2017-10-10' or"
            f" '2017-10-10T12:00:00', or an integer in milliseconds, got {value!r}"
        )
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return round(value.timestamp() * 1_000)


def _plain_duration(value: Any) -> Any:
    """Leaves text for the field and checks it; the field keeps what the user wrote."""
    duration_ms(value)
    return value


def _plain_moment(value: Any) -> Any:
    moment_ms(value)
    return value.isoformat() if isinstance(value, date) else value


Duration = Annotated[str, BeforeValidator(_plain_duration)]
"""A field that holds a duration as text; read it with `duration_ms`."""

Moment = Annotated[str | int, BeforeValidator(_plain_moment)]
"""A field that holds a moment as text or milliseconds; read it with `moment_ms`."""
