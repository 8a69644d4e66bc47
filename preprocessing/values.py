"""Single values of JSON records, where a block is not fit for `preprocessing.vectors`.

Same rules, one value at a time: slow, and only for the lines around a damaged one.
"""

import math
from collections.abc import Callable
from typing import Any

from configs.canonical import canonical_text
from configs.times import NO_TIME, time_ms
from preprocessing.fields import Field

__all__ = ["field_value"]


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


def _moment(field: Field, value: object) -> int:
    return NO_TIME if value in (None, "") else time_ms(value, field.unit)


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
    "moment": _moment,
}
