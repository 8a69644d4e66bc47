"""Second stage: the events of a log lose their duplicates and find their impressions.

An event log is bucketed by the events' own ids, where duplicates meet. What counts is
written again, bucketed by what the event answers: an impression, or (`joins`) another
log's event, which is in the bucket of its own id and names the impression.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from configs.histories import behaviour_sources
from preprocessing.arrays import one_array
from preprocessing.behaviours import BEHAVIOURS, own_behaviours
from preprocessing.day import (
    BEHAVED,
    DECIDED,
    STORED,
    Day,
    longest_window,
    remembered,
    state_of,
    with_state,
)
from preprocessing.dead_letters import dead_name, keep_letters
from preprocessing.fields import USER, behaviour_log_name, event_log_name
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.join import ANSWERED, first_events, resolve_events
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.reasons import ORPHAN
from preprocessing.scratch import BucketFile, read_bucket, write_buckets
from preprocessing.settled import FINGERPRINT

__all__ = [
    "carry_events",
    "deduplicate_events",
    "keep_orphans",
    "resolve_bucket",
    "write_behaviours",
]


def deduplicate_events(
    plan: Plan, label: str, bucket: int, paths: Sequence[str]
) -> list[BucketFile]:
    """Removes duplicates from a bucket of events, and buckets the rest by `key`, or as
    behaviours by their users if they answer nothing."""
    own = label in plan.job.data.behaviours
    log = _log_of(plan, label)
    events = read_bucket(sorted(paths), bucket)
    if events is None:
        return []
    settled = _settled_events(plan, label, bucket, events["event"])
    events = pa.concat_tables([events, *settled])
    kept = first_events(events)
    duplicates = events.num_rows - kept.num_rows
    name = f"{label}-{bucket:08}"
    plan.scratch.write_json(
        "summaries",
        f"events-{name}",
        {"counters": {f"{log}.duplicates": duplicates}, "dead": {}},
    )
    if own:
        source = behaviour_sources(plan.job)[label]
        ready = _carry_own(plan, plan.day, label, kept, name) if plan.day else kept
        return write_behaviours(plan, label, own_behaviours(source, ready), name)
    return _by_key(plan, label, kept, f"keyed/{label}", name)


def resolve_bucket(
    plan: Plan, label: str, bucket: int, paths: Sequence[str], targets: Sequence[str]
) -> list[BucketFile]:
    """Gives a bucket of events, keyed by another log's events, their impressions.

    Args:
        plan: of the run.
        label: of the events.
        bucket: of the target events' ids.
        paths: bucket files of the events, by key.
        targets: bucket files of the target log, duplicates included.
    """
    events = read_bucket(sorted(paths), bucket)
    if events is None:
        return []
    found = read_bucket(sorted(targets), bucket)
    name = f"{label}-{bucket:08}"
    log = plan.job.data.events[label]
    known = list(_settled_events(plan, log.joins, bucket, events["key"]))
    if found is not None:
        known.append(found)
    whole = pa.concat_tables(known) if known else events.slice(0, 0)
    resolved, orphans = resolve_events(events, first_events(whole))
    counters: Counter[str] = Counter()
    dead = keep_orphans(plan, {label: orphans}, f"resolve-{name}", counters)
    plan.scratch.write_json(
        "summaries", f"resolve-{name}", {"counters": counters, "dead": dead}
    )
    return _by_key(plan, label, resolved, f"resolved/{label}", name)


def write_behaviours(
    plan: Plan, source: str, behaviours: pa.Table, name: str
) -> list[BucketFile]:
    """Buckets the behaviours of a source by user; `name` becomes that of the file."""
    if behaviours.num_rows == 0:
        return []
    path = plan.scratch.folder(f"behaviours/{source}") / f"{name}.arrow"
    buckets = bucket_of(column_array(behaviours, USER).to_numpy(), plan.buckets)
    filled = write_buckets(path, behaviours, buckets, plan.buckets)
    kind = f"{BEHAVIOURS}{source}"
    return [BucketFile(kind=kind, bucket=b, path=str(path)) for b in filled]


def carry_events(
    plan: Plan,
    day: Day,
    label: str,
    events: pa.Table,
    part: str,
    counters: Counter[str],
    *,
    settled: bool = False,
) -> None:
    """Leaves events to the next day; `part` names the file. Those that are not done
    with are counted.

    In a stream those are written again that may change; with `settled` none may that is
    decided, or a behaviour of a log of its own.
    """
    events = events.filter(pa.array((state_of(events) & STORED) == 0))
    if events.num_rows == 0:
        return
    if ANSWERED in events.column_names:
        place = events.schema.get_field_index("key")
        events = events.set_column(place, "key", events[ANSWERED])
        events = events.drop_columns([ANSWERED])
    events = events.sort_by("event").combine_chunks()
    waiting = (state_of(events) & DECIDED) == 0
    counters[f"{event_log_name(label)}.carried_out"] += int(waiting.sum())
    ids = fingerprints_of(column_array(events, "event"), distinct=True)
    buckets = bucket_of(ids, plan.buckets)
    if day.settled is not None and settled:
        done = BEHAVED if label in plan.job.data.behaviours else DECIDED
        left = (state_of(events) & done) != 0
        rows = events.append_column(FINGERPRINT, pa.array(ids)).filter(pa.array(left))
        if rows.num_rows:
            log = _log_of(plan, label)
            day.settled.leave(log, part, rows, buckets[left], plan.buckets)
        events, buckets = events.filter(pa.array(~left)), buckets[~left]
    if events.num_rows:
        path = day.folder(f"events/{label}") / f"{part}.arrow"
        write_buckets(path, events, buckets, plan.buckets)


def _carry_own(
    plan: Plan, day: Day, label: str, events: pa.Table, part: str
) -> pa.Table:
    """Leaves events of `data.behaviours` to the next day, as far as they may come
    again, and returns those that are behaviours from now on."""
    times, states = column_array(events, "time").to_numpy(), state_of(events)
    ready = (times <= day.closing) & ((states & BEHAVED) == 0)
    later = times > day.closing
    after = np.where(later, states, states | BEHAVED).astype(np.int8)
    kept = pa.array(later | remembered(times, day))
    left = with_state(events, after).filter(kept)
    carry_events(plan, day, label, left, part, Counter(), settled=True)
    return events.filter(pa.array(ready)).combine_chunks()


def keep_orphans(
    plan: Plan, orphans: dict[str, pa.Table], source: str, counters: Counter[str]
) -> dict[str, int]:
    """Keeps events that answer nothing as dead letters; returns the counts.

    In a daily run an event may wait for what it answers, and one that was done with on
    an earlier day is no dead letter.
    """
    letters: dict[str, list[dict[str, Any]]] = {}
    for label, found in orphans.items():
        events = found
        if plan.day is not None:
            times, states = column_array(found, "time").to_numpy(), state_of(found)
            waiting = times > plan.day.closing
            after = np.where(waiting, states, states | DECIDED).astype(np.int8)
            ends = times + longest_window(plan.job)
            kept = pa.array(waiting | remembered(ends, plan.day))
            left = with_state(found, after).filter(kept)
            carry_events(plan, plan.day, label, left, source, counters)
            events = found.filter(pa.array(~waiting & ((states & DECIDED) == 0)))
        if events.num_rows:
            records = events.select(["time", "event", "key"]).to_pylist()
            letters[dead_name(event_log_name(label), ORPHAN)] = [
                {"reason": ORPHAN, "record": record} for record in records
            ]
    max_kept = plan.job.preprocessing.dead_letters.max_kept
    keep_letters(plan.scratch, source, letters, max_kept)
    return {name: len(records) for name, records in letters.items()}


def _log_of(plan: Plan, label: str) -> str:
    """Returns the name of the log of a label, or of one of `data.behaviours`."""
    own = label in plan.job.data.behaviours
    return behaviour_log_name(label) if own else event_log_name(label)


def _settled_events(
    plan: Plan, label: str, bucket: int, ids: pa.ChunkedArray
) -> Iterator[pa.Table]:
    """Yields the events of `ids` that a stream was done with, if there are any."""
    if plan.day is not None and plan.day.settled is not None:
        wanted = fingerprints_of(one_array(ids), distinct=True)
        found = plan.day.settled.find(_log_of(plan, label), bucket, wanted)
        if found is not None:
            found = with_state(found, state_of(found) | np.int8(STORED))
            yield found.drop_columns([FINGERPRINT])


def _by_key(
    plan: Plan, label: str, events: pa.Table, folder: str, name: str
) -> list[BucketFile]:
    if events.num_rows == 0:
        return []
    keys = fingerprints_of(column_array(events, "key"))
    path = plan.scratch.folder(folder) / f"{name}.arrow"
    filled = write_buckets(path, events, bucket_of(keys, plan.buckets), plan.buckets)
    return [BucketFile(kind=label, bucket=b, path=str(path)) for b in filled]
