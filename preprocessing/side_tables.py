"""Side tables: the row of a key as of a time; pure functions over Arrow tables.

The rules: an impression sees the latest row of its key at or before its own time. Of
rows with one key and time the last one counts, in the order in which they were read. A
row that is marked as deleted says that from then on nothing is known. Keys are compared
by their fingerprints, as the ids of rows are.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.times import NO_TIME
from preprocessing.arrays import one_array
from preprocessing.fields import Field, key_field

__all__ = ["JOIN_COUNTERS", "join_table", "sorted_rows", "with_fingerprints"]

JOIN_COUNTERS = ("found", "deleted", "too_early", "unknown_key", "without_key")
"""What can become of an impression at a side table."""

_ALWAYS = np.iinfo(np.int64).min
"""Time from which the rows of a table without times hold."""


def with_fingerprints(table: pa.Table, fingerprints: npt.NDArray[np.int64]) -> pa.Table:
    """Returns rows of a side table with the columns `fingerprint`, `time` and
    `deleted` in place of those that were read.

    Args:
        table: the good rows of a table, as they were read.
        fingerprints: of their keys, [N].
    """
    names = table.column_names
    times = (
        one_array(table["time"])
        if "time" in names
        else pa.array(np.full(table.num_rows, _ALWAYS))
    )
    deleted = (
        one_array(table["deleted"])
        if "deleted" in names
        else pa.array(np.zeros(table.num_rows, np.int8))
    )
    kept = table.drop_columns([n for n in ("key", "time", "deleted") if n in names])
    for name, column in (
        ("fingerprint", pa.array(fingerprints)),
        ("time", times),
        ("deleted", deleted),
    ):
        kept = kept.append_column(name, column)
    return kept


def sorted_rows(table: pa.Table) -> pa.Table:
    """Returns the rows that count, by key and time.

    Args:
        table: rows of `with_fingerprints`, in the order in which they were read.
    """
    fingerprints = one_array(table["fingerprint"]).to_numpy()
    times = one_array(table["time"]).to_numpy()
    order = np.lexsort((times, fingerprints))  # stable
    same = fingerprints[order][1:] == fingerprints[order][:-1]
    same &= times[order][1:] == times[order][:-1]
    last = np.append(~same, np.ones(min(len(order), 1), np.bool_))
    return table.take(pa.array(order[last])).combine_chunks()


def join_table(
    impressions: pa.Table,
    fingerprints: npt.NDArray[np.int64],
    name: str,
    rows: pa.Table | None,
    fields: Sequence[Field],
    counters: Counter[str],
) -> pa.Table:
    """Adds the columns of a side table to impressions.

    Args:
        impressions: fields of impressions; `key_field(name)` and `time` among them.
        fingerprints: of their keys, [N].
        name: of the table.
        rows: of `sorted_rows`; None if there are none.
        fields: of the table that features are read from.
        counters: `joins.NAME.found` and so on (`JOIN_COUNTERS`) are added to.

    Returns:
        The impressions without the key, and with the fields: missing where no row
        holds.
    """
    keys = one_array(impressions[key_field(name)])
    present = pc.not_equal(keys, "").to_numpy(zero_copy_only=False)
    if rows is None or rows.num_rows == 0:
        places = np.full(len(keys), -1, np.int64)
        known = deleted = np.zeros(len(keys), np.bool_)
    else:
        times = one_array(impressions["time"]).to_numpy()
        places, known = _as_of(rows, fingerprints, times)
        marks = one_array(rows["deleted"]).to_numpy()
        deleted = (places >= 0) & (marks[np.maximum(places, 0)] == 1)
    counts = {
        "without_key": ~present,
        "unknown_key": present & ~known,
        "too_early": present & known & (places < 0),
        "deleted": present & deleted,
        "found": present & (places >= 0) & ~deleted,
    }
    for what, chosen in counts.items():
        counters[f"joins.{name}.{what}"] += int(chosen.sum())
    taken = pa.array(places, mask=~counts["found"])
    joined = impressions.drop_columns([key_field(name)])
    for field in fields:
        source = None if rows is None else one_array(rows[field.name])
        joined = joined.append_column(field.name, _taken(source, taken, field))
    return joined


def _as_of(
    rows: pa.Table,
    keys: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Returns for each key the place of its latest row at or before a time (-1 if
    there is none), and whether there is any row of the key."""
    known = one_array(rows["fingerprint"]).to_numpy()
    since = one_array(rows["time"]).to_numpy()
    first = np.searchsorted(known, keys, side="left")
    last = np.searchsorted(known, keys, side="right")
    low, high = first.copy(), last.copy()
    # A binary search in the rows of every key at once: rows before `low` hold already,
    # rows from `high` on do not yet.
    while (searching := low < high).any():
        middle = (low + high) // 2
        holds = since[np.minimum(middle, len(since) - 1)] <= times
        low = np.where(searching & holds, middle + 1, low)
        high = np.where(searching & ~holds, middle, high)
    return np.where(low > first, low - 1, -1), last > first


def _taken(source: Any, places: pa.Array, field: Field) -> pa.Array:
    """Returns values of some rows, and what stands for missing ones for the rest."""
    missing: Any = "" if field.is_text else float("nan")
    if field.kind == "moment":
        missing = NO_TIME
    if not field.is_list:
        if source is None:
            return pa.array([missing] * len(places), pa.scalar(missing).type)
        return source.take(places).fill_null(missing)
    if source is None:
        kind = pa.list_(pa.string() if field.is_text else pa.float64())
        return pa.array([[]] * len(places), kind)
    lists = source.take(places)
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), lists.flatten())
