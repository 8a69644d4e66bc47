"""Second stage: the events of a log lose their duplicates and find their impressions.

An event log is bucketed by the events' own ids, where duplicates meet. What counts is
written again, bucketed by what the event answers: an impression, or (`joins`) another
log's event, which is in the bucket of its own id and names the impression.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from preprocessing.dead_letters import dead_name, keep_letters
from preprocessing.fields import event_log_name
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.join import first_events, resolve_events
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.reasons import ORPHAN
from preprocessing.scratch import read_bucket, write_buckets
from preprocessing.split_stage import BucketFile

__all__ = ["deduplicate_events", "keep_orphans", "resolve_bucket"]


def deduplicate_events(
    plan: Plan, label: str, bucket: int, paths: Sequence[str]
) -> list[BucketFile]:
    """Removes duplicates from a bucket of events and buckets the rest by `key`."""
    log = event_log_name(label)
    events = read_bucket(sorted(paths), bucket)
    if events is None:
        return []
    kept = first_events(events)
    duplicates = events.num_rows - kept.num_rows
    name = f"{label}-{bucket:08}"
    plan.scratch.write_json(
        "summaries",
        f"events-{name}",
        {"counters": {f"{log}.duplicates": duplicates}, "dead": {}},
    )
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
    known = events.slice(0, 0) if found is None else first_events(found)
    resolved, orphans = resolve_events(events, known)
    name = f"{label}-{bucket:08}"
    dead = keep_orphans(plan, {label: orphans}, f"resolve-{name}")
    plan.scratch.write_json(
        "summaries", f"resolve-{name}", {"counters": {}, "dead": dead}
    )
    return _by_key(plan, label, resolved, f"resolved/{label}", name)


def keep_orphans(
    plan: Plan, orphans: dict[str, pa.Table], source: str
) -> dict[str, int]:
    """Keeps events that answer nothing as dead letters; returns the counts."""
    letters: dict[str, list[dict[str, Any]]] = {}
    for label, events in orphans.items():
        if events.num_rows:
            letters[dead_name(event_log_name(label), ORPHAN)] = [
                {"reason": ORPHAN, "record": record} for record in events.to_pylist()
            ]
    max_kept = plan.job.preprocessing.dead_letters.max_kept
    keep_letters(plan.scratch, source, letters, max_kept)
    return {name: len(records) for name, records in letters.items()}


def _by_key(
    plan: Plan, label: str, events: pa.Table, folder: str, name: str
) -> list[BucketFile]:
    if events.num_rows == 0:
        return []
    keys = fingerprints_of(column_array(events, "key"))
    path = plan.scratch.folder(folder) / f"{name}.arrow"
    filled = write_buckets(path, events, bucket_of(keys, plan.buckets), plan.buckets)
    return [BucketFile(kind=label, bucket=b, path=str(path)) for b in filled]
