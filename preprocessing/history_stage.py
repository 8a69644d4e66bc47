"""Fourth stage: impressions of a bucket of users find their histories.

The impressions that are kept come with user and time; those of one user, time and home
(bucket of the encoded features) share one history, which is written once. Impressions
and histories then go to the home buckets.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.durations import duration_ms
from configs.features import SequenceFeature
from configs.histories import (
    age_unit,
    behaviour_column,
    behaviour_sources,
    built_sequences,
)
from configs.job import Job
from configs.layout import sequence_key
from preprocessing.behaviours import BEHAVIOURS
from preprocessing.day import Day, longest_gap, longest_window
from preprocessing.fields import USER, value_name
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.golden import raw_records, raw_values
from preprocessing.histories import Slices, in_order, needed_later, recent
from preprocessing.join_stage import LABELED
from preprocessing.late_labels import LATE_COLUMNS
from preprocessing.plan import Plan, column_array
from preprocessing.scratch import BucketFile, read_bucket, write_buckets
from preprocessing.settled import FINGERPRINT, Settled

__all__ = [
    "HISTORIES",
    "SETTLED_BEHAVIOURS",
    "build_histories",
    "needed_behaviours",
]

HISTORIES = ":histories"
"""Kind of the bucket files of histories, by home; impressions are `LABELED`."""

SETTLED_BEHAVIOURS = "histories."
"""Kinds of the segments of behaviours begin so; the source's name follows. Their
fingerprints are the users'."""

_ANSWERED = ("file", "row", "labels", *LATE_COLUMNS)
"""Columns of impressions that go on, as far as they are there."""


def build_histories(
    plan: Plan, bucket: int, asking: Sequence[str], behaviours: Mapping[str, list[str]]
) -> list[BucketFile]:
    """Builds the histories of a bucket of users.

    Args:
        plan: of the run.
        bucket: its number.
        asking: bucket files of impressions.
        behaviours: bucket files of behaviours, by kind.
    """
    tables = {}
    for kind, paths in behaviours.items():
        found = read_bucket(sorted(paths), bucket)
        if found is not None:
            tables[kind.removeprefix(BEHAVIOURS)] = in_order(found)
    rows = read_bucket(sorted(asking), bucket)
    if plan.day is not None and plan.day.settled is not None:
        _leave(plan, plan.day.settled, bucket, tables)
        if rows is not None:
            _add_settled(plan, plan.day.settled, bucket, tables, rows)
    elif plan.day is not None:
        _carry(plan, plan.day, bucket, tables)
    if rows is None:
        return []
    counters: Counter[str] = Counter()
    order, question = _questions(rows)
    asked = rows.take(pa.array(order)).combine_chunks()
    golden = np.zeros(len(order), np.bool_)
    np.logical_or.at(golden, question, column_array(rows, "golden").to_numpy(False))
    histories = _histories(plan.job, asked, tables, golden, counters)
    plan.scratch.write_json(
        "summaries", f"histories-{bucket:08}", {"counters": counters, "dead": {}}
    )
    return _write(plan, bucket, rows, question, asked, histories)


def _carry(plan: Plan, day: Day, bucket: int, tables: dict[str, pa.Table]) -> None:
    """Writes the behaviours that the histories of later days may need: an impression
    whose window is still open may be as old as the window is long."""
    for source, table in tables.items():
        path = day.folder(f"behaviours/{source}") / f"{bucket:08}.arrow"
        kept = needed_behaviours(plan.job, day, source, table)
        buckets = np.full(kept.num_rows, bucket, np.int64)
        write_buckets(path, kept, buckets, plan.buckets)


def needed_behaviours(job: Job, day: Day, source: str, table: pa.Table) -> pa.Table:
    """Returns those of the behaviours of some users that later histories may need.

    Args:
        job: names the sequences.
        day: after which they are asked.
        source: of the behaviours.
        table: in order (`histories.in_order`).
    """
    horizon = day.closing + 1 - longest_window(job) - longest_gap(job)
    needed = np.zeros(table.num_rows, np.bool_)
    for name, feature in built_sequences(job).items():
        if feature.source == source:
            present = _present(job, name, feature, table)
            part = table.filter(pa.array(present))
            needed[present] |= needed_later(part, horizon, feature.max_length)
    return table.filter(pa.array(needed))


def _leave(
    plan: Plan, settled: Settled, bucket: int, tables: Mapping[str, pa.Table]
) -> None:
    """Leaves new behaviours to the micro-batches that follow; they never change."""
    for source, table in tables.items():
        users = column_array(table, USER)
        left = table.append_column(FINGERPRINT, users)
        buckets = np.full(table.num_rows, bucket, np.int64)
        kind = SETTLED_BEHAVIOURS + source
        settled.leave(kind, f"{bucket:08}", left, buckets, plan.buckets)


def _add_settled(
    plan: Plan,
    settled: Settled,
    bucket: int,
    tables: dict[str, pa.Table],
    rows: pa.Table,
) -> None:
    """Adds what earlier micro-batches left of the users that ask."""
    users = column_array(rows, USER).to_numpy()
    for source in behaviour_sources(plan.job):
        found = settled.find(SETTLED_BEHAVIOURS + source, bucket, users)
        if found is None:
            continue
        found = found.drop_columns([FINGERPRINT])
        if source in tables:
            new = tables[source]
            found = pa.concat_tables([new, found.select(new.column_names)])
        tables[source] = in_order(found)


def _questions(
    rows: pa.Table,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns a row of each distinct home, user and time, by home; and the number of
    each row's question."""
    keys = [column_array(rows, name).to_numpy() for name in ("time", USER, "home")]
    order = np.lexsort(keys)
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    question = np.empty(len(order), np.int64)
    question[order] = np.cumsum(new) - 1
    return order[new], question


def _histories(
    job: Job,
    asked: pa.Table,
    behaviours: Mapping[str, pa.Table],
    golden: npt.NDArray[np.bool_],
    counters: Counter[str],
) -> pa.Table:
    """Returns the encoded histories of questions, and (`raw`) as requests spell them
    for those of golden candidates."""
    columns: dict[str, Any] = {}
    raw: dict[str, list[Any]] = {}
    picked = asked.filter(pa.array(golden))
    for name, feature in built_sequences(job).items():
        table = behaviours.get(feature.source)
        if table is not None:
            table = _with_first_field(job, name, feature, table)
        found = _found(feature, table, asked)
        few = _found(feature, table, picked)
        counters[f"features.{name}.older_behaviours"] += int(found.older.sum())
        for field in feature.fields:
            values = _values(job, name, field, table, asked, found)
            columns[sequence_key(name, field)] = _lists(found, values)
            column = behaviour_column(job, name, field)
            if column is not None and column.type != "number":
                values = _texts(table, value_name(column), few)
            else:
                values = _values(job, name, field, table, picked, few)
            raw[feature.column_of(name, field)] = raw_values(
                _lists(few, values).to_pylist(),
                "number" if column is None else column.type,
            )
    records: npt.NDArray[Any] = np.full(len(asked), None, object)
    records[golden] = raw_records(raw, int(golden.sum()))
    columns["raw"] = pa.array(records, pa.string())
    return pa.table(columns)


def _found(feature: SequenceFeature, table: pa.Table | None, asked: pa.Table) -> Slices:
    """Returns the histories of questions as places in the behaviours."""
    if table is None:
        return Slices(
            offsets=np.zeros(len(asked) + 1, np.int32),
            places=np.zeros(0, np.int64),
            older=np.zeros(len(asked), np.int64),
        )
    before = column_array(asked, "time").to_numpy() - duration_ms(feature.gap)
    users = column_array(asked, USER).to_numpy()
    return recent(table, users, before, feature.max_length)


def _with_first_field(
    job: Job, name: str, feature: SequenceFeature, table: pa.Table
) -> pa.Table:
    """Leaves out behaviours without the field that tells that there is one."""
    present = _present(job, name, feature, table)
    return table if present.all() else table.filter(pa.array(present)).combine_chunks()


def _present(
    job: Job, name: str, feature: SequenceFeature, table: pa.Table
) -> npt.NDArray[np.bool_]:
    column = behaviour_column(job, name, next(iter(feature.fields)))
    if column is None:
        raise TypeError(f"the first field of {name} is not categorical")
    present = pc.not_equal(column_array(table, value_name(column)), "")
    found: npt.NDArray[np.bool_] = present.to_numpy(zero_copy_only=False)
    return found


def _values(
    job: Job,
    name: str,
    field: str,
    table: pa.Table | None,
    asked: pa.Table,
    found: Slices,
) -> npt.NDArray[Any]:
    """Returns the encoded values of a field, history after history: fingerprints, or
    numbers."""
    column = behaviour_column(job, name, field)
    if column is not None and column.type != "number":
        if table is None:
            return np.zeros(0, np.int64)
        ids = fingerprints_of(column_array(table, value_name(column)))
        return np.asarray(ids[found.places])
    if table is None:
        return np.zeros(0, np.float32)
    if column is not None:
        numbers = column_array(table, value_name(column)).to_numpy(zero_copy_only=False)
        return np.asarray(numbers[found.places], np.float32)
    unit = age_unit(built_sequences(job)[name].fields[field])
    moments = column_array(table, "time").to_numpy()[found.places]
    times = column_array(asked, "time").to_numpy()
    ages = np.repeat(times, np.diff(found.offsets)) - moments
    return np.asarray(ages / duration_ms(f"1{unit}"), np.float32)


def _texts(table: pa.Table | None, name: str, found: Slices) -> pa.Array:
    if table is None:
        return pa.array([], pa.string())
    return column_array(table, name).take(pa.array(found.places))


def _lists(found: Slices, values: Any) -> pa.Array:
    flat = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array(found.offsets), flat)


def _write(
    plan: Plan,
    bucket: int,
    rows: pa.Table,
    question: npt.NDArray[np.int64],
    asked: pa.Table,
    histories: pa.Table,
) -> list[BucketFile]:
    homes = column_array(asked, "home").to_numpy().astype(np.int64)
    # Questions are by home: a number counts from the first one of the same home.
    first = np.searchsorted(homes, np.arange(plan.buckets))
    own = column_array(rows, "home").to_numpy().astype(np.int64)
    names = [name for name in _ANSWERED if name in rows.column_names]
    answered = rows.select(names).append_column(
        "question", pa.array(question - first[own])
    )
    files = []
    for kind, content, buckets in (
        (LABELED, answered, own),
        (HISTORIES, histories, homes),
    ):
        folder = "answered" if kind == LABELED else "histories"
        path = plan.scratch.folder(folder) / f"{bucket:08}.arrow"
        filled = write_buckets(path, content, buckets, plan.buckets)
        files += [BucketFile(kind=kind, bucket=b, path=str(path)) for b in filled]
    return files
