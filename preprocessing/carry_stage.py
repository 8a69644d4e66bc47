"""What the join of a daily run leaves to the next day.

An impression whose window is open goes on with its encoded features, which lie in its
home bucket. One that is done with, and an event, go on as far as they may be met again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.histories import behaviour_sources
from preprocessing.carry_over import carried_ordinal
from preprocessing.day import (
    BEHAVED,
    DECIDED,
    SEEN,
    STORED,
    TOLD,
    Day,
    longest_window,
    remembered,
    state_of,
    with_state,
)
from preprocessing.event_stage import carry_events
from preprocessing.fields import IMPRESSIONS
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.impression_rows import take_rows
from preprocessing.join import Joined
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.scratch import BucketFile, read_bucket, write_buckets
from preprocessing.settled import sorted_by_fingerprint

__all__ = ["OPEN", "carry_joined", "carry_open", "ready_to_behave", "with_settled"]

OPEN = ":open"
"""Kind of the bucket files of narrow impressions whose windows are open, by home."""

_PLACE = {
    "content": pa.uint64(),
    "split": pa.int8(),
    "rate": pa.float32(),
    "home": pa.int32(),
    "file": pa.int64(),
    "row": pa.int64(),
}
"""Columns of narrow impressions that those are without that a stream is done with."""


def ready_to_behave(events: pa.Table, day: Day) -> pa.Array:
    """Returns which events are behaviours from this day on."""
    times = column_array(events, "time").to_numpy()
    return pa.array((times <= day.closing) & ((state_of(events) & BEHAVED) == 0))


def carry_joined(
    plan: Plan,
    day: Day,
    part: str,
    rows: pa.Table,
    events: dict[str, pa.Table],
    joined: Joined,
    counters: Counter[str],
) -> list[BucketFile]:
    """Leaves what was joined in a bucket to the next day.

    Args:
        plan: of the run.
        day: of the run.
        part: names the bucket's files.
        rows: narrow impressions that count.
        events: that count, by label.
        joined: what became of the impressions.
        counters: `carried_out` is added to.

    Returns:
        Bucket files of the open impressions, which are carried from their home. None in
        a stream: there encoded features stay where they are.
    """
    waiting = joined.withheld
    _carry_events(plan, day, part, rows, events, waiting, counters)
    _carry_known(plan, day, part, rows, joined)
    opened = rows.filter(pa.array(waiting)).combine_chunks()
    # What has left once has been counted.
    counters[f"{IMPRESSIONS}.carried_out"] += int(
        ((state_of(opened) & SEEN) == 0).sum()
    )
    if opened.num_rows == 0:
        return []
    if day.settled is not None:
        ids = column_array(opened, "fingerprint").to_numpy()
        path = day.folder("open") / f"{part}.arrow"
        write_buckets(path, opened, bucket_of(ids, plan.buckets), plan.buckets)
        return []
    path = plan.scratch.folder("open") / f"{part}.arrow"
    home = column_array(opened, "home").to_numpy().astype(np.int64)
    filled = write_buckets(path, opened, home, plan.buckets)
    return [BucketFile(kind=OPEN, bucket=b, path=str(path)) for b in filled]


def with_settled(
    plan: Plan, bucket: int, index: pa.Table | None, events: Mapping[str, pa.Table]
) -> pa.Table | None:
    """Adds to the narrow impressions of a bucket those that a stream was done with and
    that are met again, by a duplicate or by an event."""
    if plan.day is None or plan.day.settled is None:
        return index
    wanted = [fingerprints_of(column_array(t, "key")) for t in events.values()]
    if index is not None:
        wanted.append(column_array(index, "fingerprint").to_numpy())
    if not wanted:
        return index
    found = plan.day.settled.find(IMPRESSIONS, bucket, np.concatenate(wanted))
    if found is None:
        return index
    for name, kind in _PLACE.items():
        nothing = pa.nulls(found.num_rows, kind).fill_null(0)
        found = found.append_column(name, nothing)
    found = with_state(found, state_of(found) | np.int8(STORED))
    if index is None:
        return found
    return pa.concat_tables([index, found.select(index.column_names)])


def _carry_known(
    plan: Plan, day: Day, part: str, rows: pa.Table, joined: Joined
) -> None:
    """Leaves the impressions that are done with, so that they are known again."""
    ends = column_array(rows, "time").to_numpy() + longest_window(plan.job)
    done = ~joined.withheld & remembered(ends, day) & ((state_of(rows) & STORED) == 0)
    known = rows.filter(pa.array(done))
    if known.num_rows == 0:
        return
    known = with_state(known, np.full(known.num_rows, DECIDED, np.int8))
    if day.settled is not None:
        bits = joined.labels[done].astype(np.int64) << np.arange(joined.labels.shape[1])
        place = known.schema.get_field_index(TOLD)
        known = known.set_column(place, TOLD, pa.array(bits.sum(axis=1)))
        known = sorted_by_fingerprint(known.drop_columns(list(_PLACE)))
    else:
        known = known.sort_by("fingerprint").combine_chunks()
        nowhere = np.full(known.num_rows, -1, np.int64)
        known = _placed(known, nowhere, nowhere)
    buckets = bucket_of(column_array(known, "fingerprint").to_numpy(), plan.buckets)
    if day.settled is not None:
        day.settled.leave(IMPRESSIONS, part, known, buckets, plan.buckets)
        return
    path = day.folder("known") / f"{part}.arrow"
    write_buckets(path, known, buckets, plan.buckets)


def carry_open(
    plan: Plan, day: Day, home: int, opened: Sequence[str], rows: Sequence[str]
) -> None:
    """Leaves the open impressions of a home bucket to the next day, wide and narrow.

    Args:
        plan: of the run.
        day: of the run.
        home: the bucket.
        opened: bucket files of the narrow impressions.
        rows: bucket files of encoded impressions.
    """
    narrow = read_bucket(sorted(opened), home)
    if narrow is None:
        return
    narrow = narrow.sort_by("fingerprint").combine_chunks()
    wide = take_rows(rows, home, narrow)
    number = carried_ordinal(home)
    count = narrow.num_rows
    path = day.folder("rows") / f"{number:016}.arrow"
    write_buckets(path, wide, np.full(count, home, np.int64), plan.buckets)
    narrow = _placed(narrow, np.full(count, number), np.arange(count))
    buckets = bucket_of(column_array(narrow, "fingerprint").to_numpy(), plan.buckets)
    write_buckets(
        day.folder("open") / f"{home:08}.arrow", narrow, buckets, plan.buckets
    )


def _placed(narrow: pa.Table, files: Any, rows: Any) -> pa.Table:
    """Returns narrow impressions whose encoded features lie elsewhere, or nowhere."""
    for name, values in (("file", files), ("row", rows)):
        place = narrow.schema.get_field_index(name)
        narrow = narrow.set_column(place, name, pa.array(values, pa.int64()))
    return narrow


def _carry_events(
    plan: Plan,
    day: Day,
    part: str,
    rows: pa.Table,
    events: dict[str, pa.Table],
    waiting: Any,
    counters: Counter[str],
) -> None:
    sources = behaviour_sources(plan.job)
    for label, table in events.items():
        places = pc.index_in(table["key"], column_array(rows, "id")).combine_chunks()
        known = table.filter(places.is_valid()).combine_chunks()
        times, states = column_array(known, "time").to_numpy(), state_of(known)
        later = times > day.closing
        undecided = waiting[places.drop_null().to_numpy()] | later
        states = np.where(undecided, states, states | DECIDED)
        if label in sources:
            states = np.where(later, states, states | BEHAVED)
        ends = times + longest_window(plan.job)
        kept = pa.array(undecided | remembered(ends, day))
        left = with_state(known, states.astype(np.int8)).filter(kept)
        carry_events(plan, day, label, left, f"joined-{part}", counters, settled=True)
