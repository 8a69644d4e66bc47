"""Behaviours: the events that sequences are built of, as rows of a table.

A table of behaviours has the columns

    user      int64, fingerprint
    time      int64, milliseconds
    tie       uint64: behaviours of one user and millisecond stand in its order; a hash
              of the event's id, so the order is the same in every run
    values    text or float64, one column for each that a sequence needs, by
              `value_name`

An event that answers an impression is a behaviour only if that impression is known.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.histories import BehaviourSource, behaviour_sources
from configs.job import Job
from preprocessing.arrays import one_array
from preprocessing.fields import USER, field_of, impression_values, value_name
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.hashing import mix, salted

__all__ = [
    "BEHAVIOURS",
    "answering_behaviours",
    "index_columns",
    "own_behaviours",
    "with_event_ids",
]

BEHAVIOURS = ":behaviours/"
"""Kinds of the bucket files of behaviours begin so; the source's name follows."""


def index_columns(
    job: Job, table: pa.Table, users: npt.NDArray[np.int64] | None
) -> dict[str, Any]:
    """Returns the columns that narrow impressions have for histories.

    Args:
        job: says which.
        table: all fields of impressions.
        users: fingerprints of their users, if the job names a column of users.
    """
    if users is None or not behaviour_sources(job):
        return {}
    columns: dict[str, Any] = {USER: pa.array(users)}
    for column in impression_values(job):
        columns[value_name(column)] = one_array(table[field_of(job, column)])
    return columns


def answering_behaviours(
    source: BehaviourSource, events: pa.Table, impressions: pa.Table, places: pa.Array
) -> pa.Table:
    """Returns the behaviours among events that answer impressions.

    Args:
        source: of the events.
        events: that count, [N].
        impressions: narrow ones that count.
        places: of the impression of each event, null where it is unknown, [N].
    """
    known = events.filter(places.is_valid())
    found = places.drop_null()
    users = (
        fingerprints_of(one_array(known[USER]))
        if source.user is not None
        else one_array(impressions[USER]).take(found)
    )
    values = {}
    for column in source.columns:
        name = value_name(column)
        values[name] = (
            one_array(known[name])
            if column.row == "event"
            else one_array(impressions[name]).take(found)
        )
    return _behaviours(known, users, values)


def own_behaviours(source: BehaviourSource, events: pa.Table) -> pa.Table:
    """Returns behaviours of a log whose events answer nothing; events that count."""
    names = [value_name(column) for column in source.columns]
    values = {name: one_array(events[name]) for name in names}
    return _behaviours(events, fingerprints_of(one_array(events[USER])), values)


def with_event_ids(table: pa.Table) -> pa.Table:
    """Adds `event` to records of a log without ids: a hash of all that was read."""
    total = np.zeros(table.num_rows, np.uint64)
    for name in table.schema.names:
        column = one_array(table[name])
        if pa.types.is_string(column.type):
            bits = fingerprints_of(column).astype(np.uint64)
        elif pa.types.is_floating(column.type):
            # One pattern for NaN, one for zero.
            numbers = column.to_numpy(zero_copy_only=False).astype(np.float64) + 0.0
            bits = np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
        else:
            bits = column.to_numpy().astype(np.uint64)
        total = mix(total ^ bits)
    return table.append_column("event", pa.array(total).cast(pa.string()))


def _behaviours(events: pa.Table, users: Any, values: dict[str, Any]) -> pa.Table:
    ids = fingerprints_of(one_array(events["event"]), distinct=True)
    return pa.table(
        {
            USER: users if isinstance(users, pa.Array) else pa.array(users),
            "time": one_array(events["time"]),
            "tie": pa.array(salted(ids, "content")),
            **values,
        }
    )
