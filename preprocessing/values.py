"""Single values of JSON records, where a block is not fit for `preprocessing.vectors`.

Same rules, one value at a time: slow, and only for the lines around a damaged one.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from configs.canonical import canonical_text
from configs.data import TimeUnit
from preprocessing.fields import Field

__all__ = ["EARLIEST_MS", "LATEST_MS", "field_value", "iso_time_ms", "time_ms"]

EARLIEST_MS, LATEST_MS = -(2**53), 2**53
"""Times outside are refused: they are units mistaken, or garbage."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MULTIPLIER: dict[TimeUnit, tuple[int, int]] = {
    "s": (1_000, 1),
    "ms": (1, 1),
    "us": (1, 1_000),
    "ns": (1, 1_000_000),
}


def field_value(field: Field, value: object) -> Any:
    """Returns what reading yields for one JSON value (see `preprocessing.fields`).

    Raises:
        ValueError: if the value is not of the field's kind.
    """
    convert = _CONVERTERS[field.kind]
    if not field.is_list:
        return convert(field, value)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {value!r}")
    return [convert(field, item) for item in value]


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


def _in_range(time: int) -> int:
    if not EARLIEST_MS <= time <= LATEST_MS:
        raise ValueError(f"{time} ms is no plausible time")
    return time


def _id(field: Field, value: object) -> str:
    text = _encodable(canonical_text(value, "string"))
    if not text:
        raise ValueError("an id is missing")
    return text


def _string(field: Field, value: object) -> str:
    return _encodable(canonical_text(value, "string"))


def _int64(field: Field, value: object) -> str:
    return canonical_text(value, "int64")


def _encodable(text: str) -> str:
    text.encode()  # half a surrogate pair, which JSON can spell, is no text
    return text


def _number(field: Field, value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _truth(field: Field, value: object) -> float:
    number = _number(field, value)
    if number < 0 or number > 1:
        raise ValueError(f"expected a probability, got {value!r}")
    return number


def _label(field: Field, value: object) -> int:
    if isinstance(value, str):
        value = {"0": 0, "1": 1, "false": 0, "true": 1}.get(value.lower())
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise ValueError(f"expected 0 or 1, got {value!r}")
    return int(value)


def _flag(field: Field, value: object) -> int:
    return 0 if value in (None, "") else _label(field, value)


def _time(field: Field, value: object) -> int:
    return time_ms(value, field.unit)


_CONVERTERS: dict[str, Callable[[Field, object], Any]] = {
    "id": _id,
    "string": _string,
    "int64": _int64,
    "number": _number,
    "truth": _truth,
    "label": _label,
    "flag": _flag,
    "time": _time,
}
