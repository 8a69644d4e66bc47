"""What is in a column of a sample."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.data import TimeUnit
from preprocessing import vectors
from preprocessing.arrays import one_array
from preprocessing.planning.sample import Sample

__all__ = ["Column", "Lists", "columns_of", "time_unit"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_SEPARATORS = ("|", ";", "^", "#", ",", " ")
_CLEAR_SEPARATORS = ("|", ";", "^", "#")
"""Others also stand inside ordinary text, and count between codes only."""
_CODES = r"^([A-Za-z_-]{0,3}[0-9][A-Za-z0-9_.:-]*)?$"
_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T]|$)"
_EPOCHS: dict[TimeUnit, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_EARLIEST_S, _LATEST_S = 946_684_800, 2_208_988_800
"""2000 to 2039: integers between are taken for moments."""


@dataclass(frozen=True)
class Lists:
    """A column of lists.

    Attributes:
        lengths: of the rows, 0 where missing, [rows].
        values: all values of all rows, as a column.
        separator: of the values where the lists are text, else None.
    """

    lengths: Integers
    values: "Column"
    separator: str | None


@dataclass(eq=False)
class Column:
    """A column of scalars or lists.

    Attributes:
        name: in the log.
        array: one Arrow array, nulls where missing.
        from_text: whether numbers are written as text (CSV, TSV).
        log_rows: about how many rows the whole log has.
        complete: whether these are all of them.
    """

    name: str
    array: Any
    from_text: bool
    log_rows: int
    complete: bool

    def __len__(self) -> int:
        return len(self.array)

    @cached_property
    def present(self) -> Booleans:
        """Whether the rows have a value, [rows]."""
        if self.lists is not None:
            return self.lists.lengths > 0
        values: Booleans = self.array.is_valid().to_numpy(zero_copy_only=False)
        return values

    @property
    def missing(self) -> float:
        """Share of the rows without a value."""
        return 1.0 - float(self.present.mean()) if len(self) else 1.0

    @cached_property
    def lists(self) -> Lists | None:
        """The rows as lists, None if they are scalars."""
        array, separator = self.array, None
        if pa.types.is_string(array.type) and self.from_text:
            separator = _separator(array)
            if separator is None:
                return None
            array = pc.split_pattern(array, separator)
        if not pa.types.is_nested(array.type) or pa.types.is_struct(array.type):
            return None
        lengths = np.asarray(pc.list_value_length(array).fill_null(0), np.int64)
        values = Column(
            self.name, array.flatten(), self.from_text, self.log_rows, self.complete
        )
        return Lists(lengths, values, separator)

    @property
    def usable(self) -> bool:
        """Whether a job file can name it: no record inside a record, for example."""
        kind = self.array.type
        if pa.types.is_struct(kind) or pa.types.is_map(kind):
            return False
        inner = self.lists
        return inner is None or not pa.types.is_nested(inner.values.array.type)

    @cached_property
    def texts(self) -> Any:
        """Canonical text of scalars, "" where missing or not representable."""
        texts, _ = vectors.texts(_scalar(self.array), "string")
        return texts

    @cached_property
    def _encoded(self) -> tuple[Integers, list[str]]:
        kind = self.array.type
        numeric = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        texts = _scalar(self.array).cast(pa.string()) if numeric else self.texts
        filled = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
        encoded = one_array(filled).dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return codes.astype(np.int64), encoded.dictionary.to_pylist()

    @property
    def codes(self) -> Integers:
        """Number of each row's value among `values`, -1 where missing, [rows]."""
        return self._encoded[0]

    @property
    def values(self) -> list[str]:
        """The distinct values, as text, in the order of their first row."""
        return self._encoded[1]

    @cached_property
    def counts(self) -> Integers:
        """Rows of each of `values`."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    @cached_property
    def numbers(self) -> Floats | None:
        """The rows as numbers, NaN where missing; None if any is none."""
        kind = self.array.type
        if pa.types.is_boolean(kind) or pa.types.is_null(kind):
            return None
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return None
        if not self.present.any():
            return None
        few = self.array.drop_null().slice(0, 100)
        for part in (few, self.array):  # most columns of text end at the first of them
            numbers, bad = vectors.numbers(part, from_text=self.from_text)
            if bad is not None:
                return None
        found: Floats = numbers
        return found

    @cached_property
    def integral(self) -> bool:
        """Whether all values are integers."""
        if self.numbers is None:
            return False
        found = self.numbers[~np.isnan(self.numbers)]
        return bool((found == np.floor(found)).all())

    @cached_property
    def truth(self) -> Floats | None:
        """The rows as 0 or 1, None if any is something else or missing."""
        if pa.types.is_nested(self.array.type):
            return None
        values, bad = vectors.labels(self.array)
        return None if bad is not None else np.asarray(values, np.float64)

    @property
    def growth(self) -> float:
        """The exponent with which the number of distinct values grows with the rows:
        0 if the second half of the rows brought none, 1 if as many as the first."""
        half = self.codes[: len(self.codes) // 2]
        first = len(np.unique(half[half >= 0]))
        if first == 0:
            return 0.0
        return float(np.clip(np.log2(len(self.values) / first), 0.0, 1.0))

    @property
    def cardinality(self) -> int:
        """About how many distinct values the whole log has: those of the sample, grown
        on as they grew from its first half to all of it."""
        found = len(self.values)
        if self.complete or not len(self):
            return found
        grown = max(self.log_rows / len(self), 1.0) ** self.growth
        return int(found * grown + 0.5)

    def times(self, unit: TimeUnit) -> Integers:
        """Milliseconds since the epoch; the smallest int64 where there is none."""
        times, bad = vectors.times(self.array, unit)
        found: Integers = np.asarray(times, np.int64).copy()
        if bad is not None:
            found[bad] = np.iinfo(np.int64).min
        return found


def columns_of(sample: Sample) -> dict[str, Column]:
    """Returns the columns of a sample by name."""
    from_text = sample.source.files[0].format in ("csv", "tsv")
    return {
        name: Column(
            name, one_array(sample.table[name]), from_text, sample.rows, sample.complete
        )
        for name in sample.table.column_names
    }


def time_unit(column: Column, *, named: bool) -> TimeUnit | None:
    """Returns the unit of a column of moments, None if it holds something else.

    Args:
        column: of scalars.
        named: whether its name is that of a time; integers alone do not tell.
    """
    kind = column.array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "ms"
    if not column.present.any() or column.lists is not None:
        return None
    if column.numbers is None:
        return _text_unit(column)
    if not named or not column.integral:
        return None
    found = column.numbers[column.present]
    for unit, scale in _EPOCHS.items():
        low, high = float(found.min()) / scale, float(found.max()) / scale
        if low >= _EARLIEST_S and high < _LATEST_S:
            return unit
    return None


def _text_unit(column: Column) -> TimeUnit | None:
    text = column.array.drop_null()
    if not pa.types.is_string(text.type):
        return None
    if not pc.all(pc.match_substring_regex(text.slice(0, 1_000), _ISO)).as_py():
        return None
    _, bad = vectors.times(text, "iso")
    return "iso" if bad is None else None


def _scalar(array: Any) -> Any:
    if pa.types.is_boolean(array.type):
        return array.cast(pa.string())
    return array


def _separator(array: Any) -> str | None:
    """Returns what separates the values of lists that are written as text."""
    found = array.drop_null()
    if not len(found):
        return None
    for separator in _SEPARATORS:
        has = float(pc.mean(pc.match_substring(found, separator).cast("int8")).as_py())
        if has < 0.05:
            continue
        values = pc.list_flatten(pc.split_pattern(found, separator))
        if separator not in _CLEAR_SEPARATORS:
            whole = pc.all(pc.match_substring_regex(values, _CODES)).as_py()
            if has < 0.5 or not whole or _is_time(found):
                continue
        # Values of lists come back; the pieces of a text like "a|b" for a title do not
        # more often than the texts themselves.
        if pc.count_distinct(values).as_py() < len(values) / 2 or (
            separator in _CLEAR_SEPARATORS
        ):
            return separator
    return None


def _is_time(found: Any) -> bool:
    return bool(re.match(_ISO, str(found[0].as_py())))
