"""The feature lists of Ali-CCP, parsed for whole blocks of lines at once.

A list is text such as `101^B31319^C1.0^A121^B...`: features between \\x01, each a
field, \\x02, a feature id, \\x03 and a value. The published settings use the ids alone,
so the values (weights, other than 1 in a few fields) are left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["FeatureListError", "parse_feature_lists"]

Integers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_MOST_DIGITS = 9
"""Feature ids fit into int32; those of the data set have up to 7 digits."""

_LONGEST_FIELD = 8
_MASKS = np.array(
    [(1 << 8 * length) - 1 for length in range(_LONGEST_FIELD + 1)], np.uint64
)
"""Keep so many of the 8 bytes of a little-endian number."""


class FeatureListError(ValueError):
    """A list is not of the layout.

    Attributes:
        row: place of the list among those given.
    """

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(problem)
        self.row = row


class _Texts(NamedTuple):
    """Texts side by side: `all[starts[k] : ends[k]]` is text k."""

    all: Bytes
    starts: Integers
    ends: Integers


class _Features(NamedTuple):
    """Of all lists, in order: the list of each, and the places of its separators; the
    third of a list's last feature is the list's end."""

    row: Integers
    first: Integers
    second: Integers
    third: Integers


def parse_feature_lists(
    lists: pa.Array, counts: Integers, fields: Sequence[str]
) -> npt.NDArray[np.int32]:
    """Returns the feature of each field in each list.

    Args:
        lists: of strings, [n].
        counts: features that each list must have, [n].
        fields: names of the fields that are wanted, of up to 8 bytes.

    Returns:
        Feature ids [n, fields]; -1 where the list lacks the field. Of several features
        of one field the last one counts.

    Raises:
        FeatureListError: if a list is not of the layout.
    """
    texts = _texts_of(lists)
    features = _features_in(texts, counts)
    # A feature begins after the third separator of the one before, or with its list.
    begins = np.empty(len(features.row), np.int64)
    begins[1:] = features.third[:-1] + 1
    leads = np.flatnonzero(np.diff(features.row, prepend=-1))
    begins[leads] = texts.starts[features.row[leads]]
    codes = _codes(texts.all, begins, features.first)
    parsed = np.full((len(texts.starts), len(fields)), -1, np.int32)
    for column, field in enumerate(fields):
        code = np.uint64(int.from_bytes(field.encode(), "little"))
        wanted = np.flatnonzero(codes == code)
        row = features.row[wanted]
        parsed[row, column] = _whole_numbers(
            texts.all, features.first[wanted] + 1, features.second[wanted], row
        )
    return parsed


def _texts_of(lists: pa.Array) -> _Texts:
    nothing = np.zeros(0, np.int64)
    if not len(lists):
        return _Texts(np.zeros(_LONGEST_FIELD, np.uint8), nothing, nothing)
    _, offsets, data = lists.buffers()
    entries = np.frombuffer(offsets, np.int32)[lists.offset :][: len(lists) + 1]
    places: Integers = entries.astype(np.int64)
    length = int(places[-1])
    text = np.zeros(length + _LONGEST_FIELD, np.uint8)  # room to read 8 bytes anywhere
    if data is not None:
        text[:length] = np.frombuffer(data, np.uint8)[:length]
    return _Texts(text, places[:-1], places[1:])


def _features_in(texts: _Texts, counts: Integers) -> _Features:
    base = int(texts.starts[0]) if len(texts.starts) else 0
    places = base + np.flatnonzero((texts.all[base:] >= 1) & (texts.all[base:] <= 3))
    ends = np.searchsorted(places, texts.ends)
    found = ends - np.searchsorted(places, texts.starts)
    expected = np.maximum(3 * counts - 1, 0)
    wrong = (found != expected) | (counts < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FeatureListError(
            row,
            f"the feature list has {found[row]} separators, expected {expected[row]}"
            f" for {counts[row]} features (each: field, \\x02, feature, \\x03, value;"
            " \\x01 between them)",
        )
    # With the ends of the lists among them, each feature has three.
    filled = counts > 0
    kinds = np.insert(texts.all[places], ends[filled], 1).reshape(-1, 3)
    triples = np.insert(places, ends[filled], texts.ends[filled]).reshape(-1, 3)
    row_of = np.repeat(np.arange(len(counts)), counts)
    odd = (kinds != (2, 3, 1)).any(axis=1)
    if odd.any():
        raise FeatureListError(
            int(row_of[np.argmax(odd)]),
            "the separators of the feature list are not \\x02, \\x03, \\x01 in turn",
        )
    return _Features(row_of, triples[:, 0], triples[:, 1], triples[:, 2])


def _codes(text: Bytes, begins: Integers, ends: Integers) -> npt.NDArray[np.uint64]:
    """Returns short texts as numbers; 0 for those of more than 8 bytes."""
    windows: npt.NDArray[np.uint64] = np.ndarray(
        (len(text) - 7,), "<u8", text.data, strides=(1,)
    )
    lengths = ends - begins
    short = lengths <= _LONGEST_FIELD
    codes: npt.NDArray[np.uint64] = windows[begins] & _MASKS[lengths * short]
    return codes


def _whole_numbers(
    text: Bytes, begins: Integers, ends: Integers, row: Integers
) -> Integers:
    lengths = ends - begins
    numbers = np.zeros(len(begins), np.int64)
    wrong = (lengths < 1) | (lengths > _MOST_DIGITS)
    for place in range(_MOST_DIGITS):
        inside = place < lengths
        digit = text[begins + np.where(inside, place, 0)].astype(np.int64) - ord("0")
        wrong |= inside & ((digit < 0) | (digit > 9))
        numbers = np.where(inside, numbers * 10 + digit, numbers)
    if wrong.any():
        first = int(np.argmax(wrong))
        found = text[begins[first] : ends[first]].tobytes()[:20]
        raise FeatureListError(
            int(row[first]),
            f"the feature id is {found!r}, expected a whole number of up to"
            f" {_MOST_DIGITS} digits",
        )
    return numbers
