"""Third stage: the impressions of a bucket lose their duplicates and find their labels.

What is kept is named by file and row of its encoded features, and bucketed by where
those lie.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from preprocessing.event_stage import keep_orphans
from preprocessing.fields import IMPRESSIONS, event_log_name, label_field
from preprocessing.join import Joined, first_impressions, join_labels
from preprocessing.plan import Plan, column_array
from preprocessing.scratch import read_bucket, write_buckets
from preprocessing.split_stage import BucketFile
from preprocessing.splitting import NO_SPLIT, SPLITS, survives_sampling

__all__ = ["LABELED", "join_bucket"]

LABELED = ":labeled"
"""Kind of the bucket files that this stage writes."""


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
    counters: Counter[str] = Counter()
    files: list[BucketFile] = []
    if index is None:
        dead = keep_orphans(plan, tables, f"join-{bucket:08}")
    else:
        rows, joined = _joined(plan, index, tables, last_time, counters)
        dead = keep_orphans(plan, joined.orphans, f"join-{bucket:08}")
        files = _write_kept(plan, bucket, rows, joined, counters)
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
    )
    for label, found in joined.counters.items():
        for name, count in found.items():
            counters[f"{event_log_name(label)}.{name}"] += count
    return rows, joined


def _write_kept(
    plan: Plan, bucket: int, rows: pa.Table, joined: Joined, counters: Counter[str]
) -> list[BucketFile]:
    kept = _choose(plan, rows, joined, counters)
    columns = {name: rows[name] for name in ("file", "row", "home")}
    table = pa.table(columns).append_column(
        "labels",
        pa.FixedSizeListArray.from_arrays(
            pa.array(joined.labels.reshape(-1)), joined.labels.shape[1]
        ),
    )
    table = table.filter(pa.array(kept))
    if table.num_rows == 0:
        return []
    home = column_array(table, "home").to_numpy().astype(np.int64)
    path = plan.scratch.folder("labeled") / f"{bucket:08}.arrow"
    filled = write_buckets(path, table, home, plan.buckets)
    return [BucketFile(kind=LABELED, bucket=b, path=str(path)) for b in filled]


def _choose(
    plan: Plan, rows: pa.Table, joined: Joined, counters: Counter[str]
) -> npt.NDArray[np.bool_]:
    """Returns which impressions are kept; every other one is counted under one name."""
    splits = column_array(rows, "split").to_numpy()
    label = list(plan.job.labels).index(plan.job.sampled_label)
    remaining = ~joined.withheld
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
