"""What the join of a daily run leaves to the next day.

An impression whose window is open goes on with its encoded features, which lie in its
home bucket. One that is done with, and an event, go on as far as they may be met again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.histories import behaviour_sources
from preprocessing.carry_over import carried_ordinal
from preprocessing.day import (
    BEHAVED,
    DECIDED,
    Day,
    longest_window,
    remembered,
    state_of,
    with_state,
)
from preprocessing.event_stage import carry_events
from preprocessing.fields import IMPRESSIONS
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.scratch import BucketFile, read_bucket, write_buckets

__all__ = ["OPEN", "carry_joined", "carry_open", "ready_to_behave"]

OPEN = ":open"
"""Kind of the bucket files of narrow impressions whose windows are open, by home."""


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
    waiting: Any,
    counters: Counter[str],
) -> list[BucketFile]:
    """Leaves what was joined in a bucket to the next day.

    Args:
        plan: of the run.
        day: of the run.
        part: names the bucket's files.
        rows: narrow impressions that count.
        events: that count, by label.
        waiting: which impressions' windows are open, bool [rows].
        counters: `carried_out` is added to.

    Returns:
        Bucket files of the open impressions, which are carried from their home.
    """
    _carry_events(plan, day, part, rows, events, waiting, counters)
    ends = column_array(rows, "time").to_numpy() + longest_window(plan.job)
    known = rows.filter(pa.array(~waiting & remembered(ends, day)))
    if known.num_rows:
        states = np.full(known.num_rows, DECIDED, np.int8)
        known = with_state(known, states).sort_by("fingerprint").combine_chunks()
        nowhere = np.full(known.num_rows, -1, np.int64)
        known = _placed(known, nowhere, nowhere)
        buckets = bucket_of(column_array(known, "fingerprint").to_numpy(), plan.buckets)
        path = day.folder("known") / f"{part}.arrow"
        write_buckets(path, known, buckets, plan.buckets)
    opened = rows.filter(pa.array(waiting)).combine_chunks()
    counters[f"{IMPRESSIONS}.carried_out"] += opened.num_rows
    if opened.num_rows == 0:
        return []
    path = plan.scratch.folder("open") / f"{part}.arrow"
    home = column_array(opened, "home").to_numpy().astype(np.int64)
    filled = write_buckets(path, opened, home, plan.buckets)
    return [BucketFile(kind=OPEN, bucket=b, path=str(path)) for b in filled]


def carry_open(
    plan: Plan, day: Day, home: int, opened: Sequence[str], wide: pa.Table, start: Any
) -> None:
    """Leaves the open impressions of a home bucket to the next day, wide and narrow.

    Args:
        plan: of the run.
        day: of the run.
        home: the bucket.
        opened: bucket files of the narrow impressions.
        wide: all encoded impressions of the bucket.
        start: function from `file` of narrow impressions to its first row in `wide`.
    """
    narrow = read_bucket(sorted(opened), home)
    if narrow is None:
        return
    narrow = narrow.sort_by("fingerprint").combine_chunks()
    places = start(column_array(narrow, "file").to_numpy())
    places = places + column_array(narrow, "row").to_numpy()
    rows = wide.take(pa.array(places)).combine_chunks()
    number = carried_ordinal(home)
    count = narrow.num_rows
    path = day.folder("rows") / f"{number:016}.arrow"
    write_buckets(path, rows, np.full(count, home, np.int64), plan.buckets)
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
        carry_events(plan, day, label, left, f"joined-{part}", counters)
