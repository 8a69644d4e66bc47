"""Converts whole Arrow columns to what reading yields (see `preprocessing.fields`).

The vectorised twin of `configs.canonical` and `preprocessing.values`; tests hold them
equal. Every function returns the converted column without nulls, and a mask of the
values that are not of the wanted kind (None if all are).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.canonical import CategoricalType, canonical_text
from configs.times import (
    EARLIEST_MS,
    LATEST_MS,
    NO_TIME,
    TimeUnit,
    iso_time_ms,
    time_ms,
)
from preprocessing.arrays import one_array

__all__ = ["Converted", "flags", "labels", "moments", "numbers", "texts", "times"]

Mask = npt.NDArray[np.bool_] | None
Converted = tuple[Any, Mask]
"""An array, and the mask of bad values."""

_CANONICAL_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"^(?i:[+-]?(nan|inf|infinity))$"
_PLAIN_ISO = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"
)


def texts(array: pa.Array, declared: CategoricalType) -> Converted:
    """Returns canonical text (see `configs.canonical`), "" where missing or bad."""
    array = _plain(array)
    kind = array.type
    if pa.types.is_null(kind):
        return pa.array([""] * len(array), pa.string()), None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = array.cast(pa.string()).fill_null("")
        return (text, None) if declared == "string" else _integer_texts(text)
    if pa.types.is_integer(kind):
        bad = None
        if pa.types.is_uint64(kind):
            bad = _mask(pc.greater(array, pa.scalar(2**63 - 1, pa.uint64())))
        text = array.cast(pa.string()).fill_null("")
        return _blank(text, bad), bad
    if pa.types.is_floating(kind) and declared == "int64":
        return _whole_floats(array)
    return _none_fits(array, pa.array([""] * len(array), pa.string()))


def numbers(array: pa.Array, *, from_text: bool) -> Converted:
    """Returns float64 (NumPy), NaN where missing or bad.

    Args:
        array: of any type.
        from_text: whether text is to be read as numbers (CSV, TSV).
    """
    array = _plain(array)
    kind = array.type
    nothing = np.full(len(array), np.nan)
    if pa.types.is_null(kind):
        return nothing, None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _floats(array), None
    if pa.types.is_decimal(kind):
        return _floats(array.cast(pa.float64())), None
    if from_text and pa.types.is_string(kind):
        return _numbers_of_text(array.fill_null(""))
    return _none_fits(array, nothing)


def times(array: pa.Array, unit: TimeUnit) -> Converted:
    """Returns milliseconds since the epoch, int64 (NumPy), rounded down.

    Arrow's own dates and timestamps are taken whatever the unit says.
    """
    array = _plain(array)
    kind = array.type
    missing = _mask(array.is_null())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        found = array.cast(pa.timestamp(getattr(kind, "unit", "ms")))
        return _scaled(found.cast(pa.int64()), getattr(kind, "unit", "ms"), missing)
    if unit != "iso" and pa.types.is_integer(kind):
        bad = missing
        if pa.types.is_uint64(kind):
            huge = _mask(pc.greater(array, pa.scalar(2**63 - 1, pa.uint64())))
            bad = _either(missing, huge)
            array = pc.if_else(pa.array(~huge), array, 0) if huge is not None else array
        return _scaled(array.cast(pa.int64()), unit, bad)
    if unit != "iso" and pa.types.is_floating(kind):
        return _one_by_one(array.cast(pa.float64()), lambda value: time_ms(value, unit))
    if pa.types.is_string(kind):
        return _times_of_text(array, unit)
    return np.zeros(len(array), np.int64), np.ones(len(array), np.bool_)


def labels(array: pa.Array) -> Converted:
    """Returns 0 or 1 as int8 (NumPy)."""
    array = _plain(array)
    kind = array.type
    if pa.types.is_string(kind):
        text = pc.ascii_lower(array.fill_null(""))
        ones = _values(pc.is_in(text, pa.array(["1", "true"])))
        zeros = _values(pc.is_in(text, pa.array(["0", "false"])))
    elif pa.types.is_boolean(kind):
        ones = _values(array.fill_null(False))
        zeros = _values(pc.invert(array).fill_null(False))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        ones = _values(pc.equal(array, 1).fill_null(False))
        zeros = _values(pc.equal(array, 0).fill_null(False))
    else:
        ones = zeros = np.zeros(len(array), np.bool_)
    return ones.astype(np.int8), _some(~(ones | zeros))


def flags(array: pa.Array) -> Converted:
    """Returns 0 or 1 as int8 (NumPy), 0 where missing."""
    values, bad = labels(array)
    if bad is None:
        return values, None
    return values, _some(bad & ~_absent(array))


def moments(array: pa.Array, unit: TimeUnit) -> Converted:
    """Returns times as `times` does, `NO_TIME` where missing or bad."""
    values, bad = times(array, unit)
    if bad is None:
        return values, None
    return np.where(bad, NO_TIME, values), _some(bad & ~_absent(array))


def _absent(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Returns which values are missing: null, or the empty text."""
    array = _plain(array)
    if pa.types.is_string(array.type):
        return _values(pc.equal(array.fill_null(""), ""))
    return _values(array.is_null())


def _plain(array: pa.Array) -> pa.Array:
    """Undoes dictionaries, views, binary and half floats; one chunk."""
    array = one_array(array)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary_decode())
    if pa.types.is_large_string(kind) or str(kind) == "string_view":
        return array.cast(pa.string())
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    return array


def _integer_texts(text: pa.Array) -> Converted:
    plain = pc.or_(
        pc.match_substring_regex(text, _CANONICAL_INTEGER), pc.equal(text, "")
    )
    strange = np.flatnonzero(~_values(plain))
    if len(strange) == 0:
        return text, None
    return _replace_texts(text, strange, lambda value: canonical_text(value, "int64"))


def _whole_floats(array: pa.Array) -> Converted:
    found = array.cast(pa.float64())
    values = _floats(found)
    whole = np.isfinite(values) & (np.floor(values) == values)
    whole &= (values >= -(2.0**63)) & (values < 2.0**63)
    missing = _values(found.is_null())
    integers = np.where(whole, values, 0.0).astype(np.int64)
    text = pa.array(integers, mask=~whole).cast(pa.string()).fill_null("")
    return text, _some(~whole & ~missing)


def _replace_texts(
    text: pa.Array, where: npt.NDArray[np.int64], convert: Callable[[str], str]
) -> Converted:
    """Converts some values one by one; those that fail become "" and bad."""
    values = text.take(pa.array(where)).dictionary_encode()
    converted: list[str] = []
    failed: list[bool] = []
    for value in values.dictionary.to_pylist():
        try:
            converted.append(convert(value))
            failed.append(False)
        except ValueError:
            converted.append("")
            failed.append(True)
    codes = values.indices.to_numpy()
    mask = np.zeros(len(text), np.bool_)
    mask[where] = True
    replaced = pc.replace_with_mask(
        text, pa.array(mask), pa.array(converted, pa.string()).take(values.indices)
    )
    bad = np.zeros(len(text), np.bool_)
    bad[where] = np.asarray(failed, np.bool_)[codes]
    return replaced, _some(bad)


def _numbers_of_text(text: pa.Array) -> Converted:
    empty = pc.equal(text, "")
    filled = pc.if_else(empty, pa.scalar(None, pa.string()), text)
    try:
        return _floats(filled.cast(pa.float64())), None
    except pa.ArrowInvalid:
        pass
    number = _values(pc.match_substring_regex(text, _NUMBER))
    infinite = _values(pc.match_substring_regex(text, _NOT_FINITE))
    values = np.full(len(text), np.nan)
    for position in np.flatnonzero(infinite):
        values[position] = float(text[position].as_py())
    digits = pc.replace_substring_regex(filled, r"^\+", "")
    values[number] = _floats(digits.filter(pa.array(number)).cast(pa.float64()))
    return values, _some(~number & ~infinite & ~_values(empty))


def _times_of_text(array: pa.Array, unit: TimeUnit) -> Converted:
    text = array.fill_null("")
    if unit != "iso":
        integer = _values(pc.match_substring_regex(text, _CANONICAL_INTEGER))
        if integer.all():
            return _scaled(text.cast(pa.int64()), unit, None)
        return _one_by_one(text, lambda value: time_ms(value, unit))
    plain = _values(pc.match_substring_regex(text, _PLAIN_ISO))
    if plain.all():
        try:
            found = text.cast(pa.timestamp("us")).cast(pa.int64())
            return _scaled(found, "us", None)
        except pa.ArrowInvalid:
            pass
    return _one_by_one(text, iso_time_ms)


def _one_by_one(array: pa.Array, convert: Callable[[Any], int]) -> Converted:
    encoded = array.dictionary_encode()
    found = np.zeros(len(encoded.dictionary) + 1, np.int64)
    failed = np.zeros(len(encoded.dictionary) + 1, np.bool_)
    failed[-1] = True
    for position, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            found[position] = convert(value)
        except (ValueError, OverflowError):
            failed[position] = True
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
    return found[codes], _some(failed[codes])


_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _scaled(array: pa.Array, unit: str, bad: Mask) -> Converted:
    """Scales int64 times to milliseconds."""
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    if unit == "s":
        outside = (values < EARLIEST_MS // 1_000) | (values > LATEST_MS // 1_000)
        scaled = np.where(outside, 0, values) * 1_000
    else:
        scaled = values // (_PER_SECOND[unit] // 1_000)
        outside = (scaled < EARLIEST_MS) | (scaled > LATEST_MS)
    bad = _either(bad, _some(outside))
    return (scaled if bad is None else np.where(bad, 0, scaled)), bad


def _none_fits(array: pa.Array, empty: Any) -> Converted:
    """Every value that is there is bad."""
    return empty, _mask(array.is_valid())


def _blank(text: pa.Array, bad: Mask) -> pa.Array:
    return text if bad is None else pc.if_else(pa.array(bad), "", text)


def _floats(array: pa.Array) -> npt.NDArray[np.float64]:
    if pa.types.is_integer(array.type):
        array = array.cast(pa.float64(), safe=False)
    values: npt.NDArray[np.float64] = (
        array.cast(pa.float64()).fill_null(math.nan).to_numpy(zero_copy_only=False)
    )
    return values


def _values(array: pa.Array) -> npt.NDArray[np.bool_]:
    values: npt.NDArray[np.bool_] = array.to_numpy(zero_copy_only=False)
    return values


def _mask(array: pa.Array) -> Mask:
    return _some(_values(array.fill_null(False)))


def _some(mask: npt.NDArray[np.bool_]) -> Mask:
    return mask if mask.any() else None


def _either(first: Mask, second: Mask) -> Mask:
    if first is None or second is None:
        return second if first is None else first
    return first | second
