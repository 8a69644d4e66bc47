"""Third stage: the impressions of a bucket lose their duplicates and find their labels.

What is kept is named by file and row of its encoded features, and bucketed by where
those lie; or first by its user, where histories are built (`preprocessing.
history_stage`). The events that answer known impressions are behaviours for those.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.durations import duration_ms
from configs.histories import behaviour_sources
from preprocessing.behaviours import answering_behaviours
from preprocessing.carry_stage import carry_joined, ready_to_behave, with_settled
from preprocessing.day import DECIDED, SEEN, TOLD, state_of
from preprocessing.event_stage import keep_orphans, write_behaviours
from preprocessing.fields import IMPRESSIONS, USER, event_log_name, label_field
from preprocessing.golden import golden_candidates
from preprocessing.join import Joined, Late, first_impressions, join_labels
from preprocessing.late_labels import LATE_COLUMNS, leaving, with_told
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.scratch import BucketFile, read_bucket, write_buckets
from preprocessing.splitting import NO_SPLIT, SPLITS, survives_sampling

__all__ = ["ASKING", "LABELED", "join_bucket"]

LABELED, ASKING = ":labeled", ":asking"
"""Kinds of the bucket files of kept impressions: by the place of their encoded
features, or by user, to ask for histories."""


def join_bucket(
    plan: Plan,
    bucket: int,
    impressions: Sequence[str],
    events: Mapping[str, Sequence[str]],
    last_time: int,
) -> list[BucketFile]:
    """Joins a bucket and decides which impressions become examples.

    Args:
        plan: of the run.
        bucket: its number.
        impressions: bucket files of narrow impressions.
        events: bucket files of the events that count, by label; keyed by impression.
        last_time: of all events and impressions, in milliseconds.
    """
    found = {
        label: read_bucket(sorted(paths), bucket) for label, paths in events.items()
    }
    tables = {label: table for label, table in found.items() if table is not None}
    index = read_bucket(sorted(impressions), bucket)
    index = with_settled(plan, bucket, index, tables)
    counters: Counter[str] = Counter()
    files: list[BucketFile] = []
    if index is None:
        dead = keep_orphans(plan, tables, f"join-{bucket:08}", counters)
    else:
        rows, joined = _joined(plan, index, tables, last_time, counters)
        dead = keep_orphans(plan, joined.orphans, f"join-{bucket:08}", counters)
        files = _write_kept(plan, bucket, rows, joined, counters)
        files += _write_answering(plan, bucket, rows, tables)
        if joined.observed is not None:
            rows = with_told(rows, joined.observed)
        if plan.day is not None:
            place = f"{bucket:08}"
            files += carry_joined(plan, plan.day, place, rows, tables, joined, counters)
    plan.scratch.write_json(
        "summaries", f"join-{bucket:08}", {"counters": counters, "dead": dead}
    )
    return files


def _joined(
    plan: Plan,
    index: pa.Table,
    events: dict[str, pa.Table],
    last_time: int,
    counters: Counter[str],
) -> tuple[pa.Table, Joined]:
    first = first_impressions(
        column_array(index, "id"),
        column_array(index, "time").to_numpy(),
        column_array(index, "content").to_numpy(),
        None if plan.day is None else state_of(index),
    )
    counters[f"{IMPRESSIONS}.duplicates"] += index.num_rows - len(first)
    rows = index.take(pa.array(first)).combine_chunks()
    given = {
        name: column_array(rows, label_field(name)).to_numpy()
        for name, label in plan.job.labels.items()
        if label.column is not None
    }
    joined = join_labels(
        plan.job,
        column_array(rows, "id"),
        column_array(rows, "time").to_numpy(),
        given,
        events,
        last_time,
        None if plan.day is None else (state_of(rows) & DECIDED) != 0,
        _told(plan, rows),
        _late(plan, rows),
    )
    for label, found in joined.counters.items():
        for name, count in found.items():
            counters[f"{event_log_name(label)}.{name}"] += count
    return rows, joined


def _told(plan: Plan, rows: pa.Table) -> npt.NDArray[np.bool_] | None:
    """Returns which labels were said to be 1, [rows, labels]; None but in a stream."""
    if TOLD not in rows.column_names:
        return None
    bits = column_array(rows, TOLD).to_numpy()[:, np.newaxis]
    told: npt.NDArray[np.bool_] = (bits >> np.arange(len(plan.job.labels))) & 1 == 1
    return told


def _late(plan: Plan, rows: pa.Table) -> Late | None:
    """Returns what is known of impressions in a stream whose labels come late."""
    join = None if plan.job.stream is None else plan.job.stream.join
    if TOLD not in rows.column_names or join is None or join.observe is None:
        return None
    return Late(
        observe=duration_ms(join.observe),
        before=None if plan.day is None else plan.day.before,
        seen=(state_of(rows) & SEEN) != 0,
    )


def _write_kept(
    plan: Plan, bucket: int, rows: pa.Table, joined: Joined, counters: Counter[str]
) -> list[BucketFile]:
    names = ["file", "row", "home", "labels"]
    if joined.observed is not None:
        rows = leaving(plan, rows, joined.observed, counters)
        names += LATE_COLUMNS
    else:
        kept = _choose(plan, rows, joined, counters)
        labels = pa.FixedSizeListArray.from_arrays(
            pa.array(joined.labels.reshape(-1)), joined.labels.shape[1]
        )
        rows = rows.append_column("labels", labels).filter(pa.array(kept))
    if rows.num_rows == 0:
        return []
    asking = bool(behaviour_sources(plan.job))
    names += (USER, "time") if asking else ()
    columns = {name: rows[name] for name in names}
    if asking:
        columns["golden"] = pa.array(
            golden_candidates(
                plan.golden_shares,
                column_array(rows, "fingerprint").to_numpy(),
                column_array(rows, "split").to_numpy(),
            )
        )
    table = pa.table(columns)
    kind = ASKING if asking else LABELED
    if asking:
        buckets = bucket_of(column_array(table, USER).to_numpy(), plan.buckets)
    else:
        buckets = column_array(table, "home").to_numpy().astype(np.int64)
    path = plan.scratch.folder(kind.lstrip(":")) / f"{bucket:08}.arrow"
    filled = write_buckets(path, table, buckets, plan.buckets)
    return [BucketFile(kind=kind, bucket=b, path=str(path)) for b in filled]


def _write_answering(
    plan: Plan, bucket: int, rows: pa.Table, events: dict[str, pa.Table]
) -> list[BucketFile]:
    """Writes the events that answer impressions of the bucket as behaviours."""
    files = []
    for name, source in behaviour_sources(plan.job).items():
        if name in events and source.answers:
            places = pc.index_in(events[name]["key"], column_array(rows, "id"))
            answering = events[name]
            if plan.day is not None:
                ready = ready_to_behave(answering, plan.day)
                answering, places = answering.filter(ready), places.filter(ready)
            found = answering_behaviours(
                source, answering, rows, places.combine_chunks()
            )
            files += write_behaviours(plan, name, found, f"{bucket:08}")
    return files


def _choose(
    plan: Plan, rows: pa.Table, joined: Joined, counters: Counter[str]
) -> npt.NDArray[np.bool_]:
    """Returns which impressions are kept; every other one is counted under one name."""
    splits = column_array(rows, "split").to_numpy()
    label = list(plan.job.labels).index(plan.job.sampled_label)
    remaining = ~joined.withheld & ((state_of(rows) & DECIDED) == 0)
    if plan.day is None:
        counters[f"{IMPRESSIONS}.withheld"] += int((~remaining).sum())
    outside = remaining & (splits == NO_SPLIT)
    counters[f"{IMPRESSIONS}.outside_split"] += int(outside.sum())
    remaining &= ~outside
    surviving = survives_sampling(
        plan.job,
        column_array(rows, "fingerprint").to_numpy(),
        column_array(rows, "rate").to_numpy(),
        joined.labels[:, label] == 1,
    )
    surviving |= splits != SPLITS.index("train")
    counters[f"{IMPRESSIONS}.dropped_by_sampling"] += int(
        (remaining & ~surviving).sum()
    )
    kept: npt.NDArray[np.bool_] = remaining & surviving
    counters[f"{IMPRESSIONS}.kept"] += int(kept.sum())
    return kept
