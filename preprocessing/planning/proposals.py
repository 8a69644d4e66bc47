"""Kinds, groups and embeddings of the features, guessed from names and values."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from preprocessing.planning.columns import Column, Lists
from preprocessing.planning.wording import (
    group_of,
    id_rank,
    is_counting,
    is_naming,
    words_of,
)

__all__ = ["Proposal", "embedding_for", "key_of", "propose", "seen_often"]

_FEW = 20
"""Integers with at most so many values are codes, unless their name says otherwise."""
_LARGE = 1_000_000
"""From so many values on a table is hashed into buckets."""
_VECTOR = 3
"""Lists of fractions that are all as long, and so long at least, are vectors."""
_MOST_BUCKETS = 1 << 22
_DEPENDENT, _DEPENDENT_ROWS = 0.99, 200


@dataclass(kw_only=True)
class Proposal:
    """A feature, or a column that is left out.

    Attributes:
        name: in the job file.
        columns: that it reads.
        definition: its section, None if the column is left out.
        note: one line: what was found, or why it is left out.
        question: what the user should check, or None.
        unsure: whether its kind is guessed from values alone.
        source: the column of another log that it reads, None for the impressions'.
    """

    name: str
    columns: list[str]
    definition: dict[str, Any] | None
    note: str
    question: str | None = None
    unsure: bool = False
    source: Column | None = None

    @property
    def kept(self) -> bool:
        """Whether it becomes a feature."""
        return self.definition is not None


def key_of(name: str, taken: Collection[str] = ()) -> str:
    """Returns a name that a job file takes for a feature."""
    key = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "column"
    key = key if key[0].isalpha() else f"c{key}"
    number = 2
    unique = key
    while unique in taken:
        unique = f"{key}_{number}"
        number += 1
    return unique


def propose(
    column: Column, owners: dict[str, Column], taken: Collection[str]
) -> Proposal:
    """Returns the feature of a column of scalars, or of lists that are no sequence.

    Args:
        column: of the impression log.
        owners: the columns of the ids `user` and `item`, where there are any.
        taken: names of other features.
    """
    why = _why_not(column)
    if why is not None:
        return Proposal(
            name=column.name, columns=[column.name], definition=None, note=why
        )
    key = key_of(column.name, taken)
    group, because = _group(column, owners)
    unsure = False
    definition: dict[str, Any]
    if column.lists is not None:
        definition, note = _lists(column)
    elif _is_category(column):
        definition = {"kind": "categorical", **_type(column)}
        definition["embedding"] = embedding_for(column)
        note = describe_values(column)
    else:
        definition, note = _numeric(column)
        unsure = column.integral and not is_counting(column.name)
    ordered = {"kind": definition.pop("kind")}
    ordered |= {"column": column.name} if key != column.name else {}
    ordered |= {"group": group} if group != "context" else {}
    return Proposal(
        name=key,
        columns=[column.name],
        definition=ordered | definition,
        note=note if because is None else f"{note}; {because}",
        unsure=unsure,
    )


def describe_values(column: Column) -> str:
    """Says how many values a categorical column has, and how many rows lack one."""
    found = f"{len(column.values):,} values"
    if not column.complete and column.cardinality > len(column.values):
        found += f" in the sample, about {column.cardinality:,} in the log"
    missing = f", {column.missing:.1%} missing" if column.missing else ""
    return found + missing


def embedding_for(column: Column) -> dict[str, Any]:
    """Returns the embedding of a categorical column: a row for each value that is
    frequent enough, or hash buckets where there are too many."""
    values = column.cardinality
    if values > _LARGE:
        return {"buckets": min(1 << (values - 1).bit_length(), _MOST_BUCKETS)}
    narrow = {"dim": 4} if values <= _FEW else {}
    if values <= 1_000:
        return narrow | {"vocabulary": {}}
    return {"vocabulary": {"min_count": _min_count(column)}}


def seen_often(column: Column, count: int) -> float:
    """Returns the share of the sample's rows whose value stands in `count` rows or
    more."""
    counts = column.counts
    return float(counts[counts >= count].sum() / max(counts.sum(), 1))


def _min_count(column: Column) -> int:
    if column.log_rows < 50_000:
        return 2
    return 4 if column.log_rows < 5_000_000 else 10


def _why_not(column: Column) -> str | None:
    if not column.usable:
        return "records inside records cannot be read: log their parts as columns"
    if not column.present.any():
        return "it is empty in the whole sample"
    if column.lists is not None:
        return _why_no_list(column.lists)
    if pa.types.is_boolean(column.array.type) and column.from_text is False:
        return "true and false are no feature values: log 1 and 0"
    if len(column.values) == 1 and not column.missing:
        return f"it is {column.values[0]!r} in every row of the sample"
    ids = ("event", "request", "session")
    is_id = any(id_rank(kind, column.name) is not None for kind in ids)
    own = len(column.values) / max(int(column.present.sum()), 1)
    fraction = column.numbers is not None and not column.integral
    if own > 0.9 and not fraction and len(column) > 100:
        if is_id or column.numbers is None:
            return "nearly every row has a value of its own: nothing comes back"
    if is_id and is_naming(column.name) and own > 0.2:
        return "an id of a request or session: its values do not come back later"
    return None


def _why_no_list(lists: Lists) -> str | None:
    inner, lengths = lists.values, lists.lengths[lists.lengths > 0]
    fraction = inner.numbers is not None and not inner.integral
    if fraction and not ((lengths == lengths[0]).all() and lengths[0] >= _VECTOR):
        return "fractions that differ in number are neither categories nor a vector"
    if pa.types.is_boolean(inner.array.type):
        return "true and false are no feature values: log 1 and 0"
    return None


def _group(column: Column, owners: dict[str, Column]) -> tuple[str, str | None]:
    for kind, owner in owners.items():
        if owner.name == column.name:
            return kind, None
    named = group_of(column.name)
    if named in ("user", "item"):
        return named, None
    if column.lists is None:
        for kind, owner in owners.items():
            if _depends(column, owner):
                return kind, f"group {kind}: every {kind} has one value"
    return "context", None


def _depends(column: Column, owner: Column) -> bool:
    """Whether a column has one value for each value of its owner."""
    if not len(column.values) or column.counts.max() > 0.9 * len(column):
        return False
    order = np.argsort(owner.codes, kind="stable")
    codes, values = owner.codes[order], column.codes[order]
    again = codes[1:] == codes[:-1]
    if int(again.sum()) < _DEPENDENT_ROWS:
        return False
    return float((values[1:] == values[:-1])[again].mean()) >= _DEPENDENT


def _type(column: Column) -> dict[str, str]:
    """Returns `type: int64` for whole numbers of formats that have numbers. In CSV all
    is text, and one odd value later in the log must not cost its record."""
    native = pa.types.is_integer(column.array.type)
    whole = pa.types.is_floating(column.array.type) and column.integral
    return {"type": "int64"} if native or whole else {}


def _is_category(column: Column) -> bool:
    if column.numbers is None:
        return True
    if not column.integral:
        return False
    telling = [w for w in words_of(column.name) if is_naming(w) or is_counting(w)]
    if telling:
        # The last word that tells decides: item_age is an age, age_level a level.
        counting = is_counting(telling[-1]) and not is_naming(telling[-1])
        return not counting or (len(column.values) <= 2)
    if len(column.values) <= _FEW:
        return True
    return not _is_heavy_tailed(column.numbers)


def _is_heavy_tailed(numbers: npt.NDArray[np.float64]) -> bool:
    """Whether numbers are like counts: small ones are frequent, large ones rare."""
    found = numbers[~np.isnan(numbers)]
    low, median, high = np.quantile(found, [0.01, 0.5, 0.99])
    return bool(low >= -10 and median - low < 0.2 * (high - low) and low <= 10)


def _numeric(column: Column) -> tuple[dict[str, Any], str]:
    numbers = column.numbers
    found = numbers[~np.isnan(numbers)] if numbers is not None else np.zeros(0)
    low, median, high = np.quantile(found, [0.0, 0.5, 1.0])
    note = f"{low:g} to {high:g}, median {median:g}"
    note += f", {column.missing:.1%} missing" if column.missing else ""
    definition: dict[str, Any] = {"kind": "numeric"}
    heavy = _is_heavy_tailed(found) or (low >= 0 and high > 20 * max(median, 1e-9))
    if heavy and column.integral:
        # An embedding for each power of two, and one for missing values.
        definition["bucketize"] = {"scheme": "log2"}
        return definition, note
    definition["transform"] = ["log1p", "standardize"] if heavy else ["standardize"]
    if column.missing:
        definition["missing"] = "indicator"
    return definition, note


def _lists(column: Column) -> tuple[dict[str, Any], str]:
    lists = column.lists
    if lists is None:
        raise TypeError(f"{column.name} holds no lists")
    lengths = lists.lengths[lists.lengths > 0]
    inner = lists.values
    separator = lists.separator
    apart = {} if separator in (None, "|") else {"separator": separator}
    missing = f", {column.missing:.1%} empty" if column.missing else ""
    fixed = bool((lengths == lengths[0]).all()) and lengths[0] >= _VECTOR
    if inner.numbers is not None and not inner.integral and fixed:
        note = f"vectors of {lengths[0]} numbers{missing}"
        return {"kind": "dense", "length": int(lengths[0]), **apart}, note
    most = _rounded_up(int(np.quantile(lengths, 0.99)), (2, 4, 8, 16, 32, 64))
    definition = {"kind": "multi_valued", **_type(inner), "max_length": most, **apart}
    definition["embedding"] = embedding_for(inner)
    note = f"{lengths.mean():.1f} values a row, {describe_values(inner)}{missing}"
    return definition, note


def _rounded_up(value: int, steps: tuple[int, ...]) -> int:
    return next((step for step in steps if step >= value), steps[-1])
