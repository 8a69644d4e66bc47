"""Last stage: a bucket of encoded impressions and labels becomes shards of examples.

The rows of a split are ordered by a hash of the id that is to be adjacent (a context of
the losses, else the request), then of the request, then of the event: random, the rows
of such an id side by side, and the same in every run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.layout import (
    ELAPSED,
    EVENT_KIND,
    EVENT_TIME,
    IDS,
    LABEL_KINDS,
    LABELS,
    NEGATIVE_KEEP_RATE,
    EventKind,
    layout_of,
)
from preprocessing.carry_stage import carry_open
from preprocessing.distributions import count_distributions
from preprocessing.encode_rows import matrix_of
from preprocessing.example_bytes import serialize_examples
from preprocessing.hashing import salted
from preprocessing.impression_rows import take_rows
from preprocessing.plan import Plan, column_array
from preprocessing.scratch import read_bucket, write_buckets
from preprocessing.splitting import SPLITS
from preprocessing.statistics import numeric_cells, numeric_moments, value_counts
from preprocessing.tfrecord import write_records

__all__ = ["write_bucket"]

_ROWS_AT_ONCE = 8_192
"""Rows that are serialised at a time."""


def write_bucket(
    plan: Plan,
    bucket: int,
    rows: Sequence[str],
    labeled: Sequence[str],
    histories: Sequence[str] = (),
    opened: Sequence[str] = (),
) -> None:
    """Writes the shards, statistics, counts and golden rows of a bucket.

    Args:
        plan: of the run.
        bucket: its number.
        rows: bucket files of encoded impressions.
        labeled: bucket files that name the ones to keep, with labels.
        histories: of these, a bucket file for each of `labeled`, if there are any.
        opened: bucket files that name those to be carried to the next day.
    """
    if plan.day is not None and opened:
        carry_open(plan, plan.day, bucket, opened, rows)
    table = _kept_rows(rows, labeled, histories, bucket)
    splits = {}
    if table is not None:
        by_split = column_array(table, "split").to_numpy()
        for number, name in enumerate(SPLITS):
            chosen = table.filter(pa.array(by_split == number)).combine_chunks()
            if chosen.num_rows:
                splits[name] = _write_split(plan, bucket, name, _ordered(plan, chosen))
    plan.scratch.write_json(
        "summaries",
        f"write-{bucket:08}",
        {"counters": {}, "dead": {}, "bucket": bucket, "splits": splits},
    )


def _kept_rows(
    rows: Sequence[str], labeled: Sequence[str], histories: Sequence[str], bucket: int
) -> pa.Table | None:
    """Returns the encoded rows to keep, with labels and histories."""
    kept = read_bucket(sorted(labeled), bucket)
    if kept is None:
        return None
    whole = take_rows(rows, bucket, kept)
    labels = matrix_of(kept["labels"]).astype(np.float32)
    kind = pa.array(np.full(kept.num_rows, EventKind.FIRST, np.int64))
    if histories:
        whole = _with_histories(whole, labeled, histories, bucket)
    if EVENT_KIND in kept.column_names:
        kind = kept[EVENT_KIND]
        for name in (LABEL_KINDS, ELAPSED):
            whole = whole.append_column(name, kept[name])
    return (
        whole.append_column(
            LABELS,
            pa.FixedSizeListArray.from_arrays(
                pa.array(labels.reshape(-1)), labels.shape[1]
            ),
        )
        .append_column(EVENT_KIND, kind)
        .append_column(NEGATIVE_KEEP_RATE, whole["rate"])
    )


def _with_histories(
    whole: pa.Table, labeled: Sequence[str], histories: Sequence[str], bucket: int
) -> pa.Table:
    """Adds the built sequences to the rows of `labeled`, in the order of its files."""
    tables, questions, asked = [], [], 0
    for path, answers in zip(sorted(labeled), sorted(histories), strict=True):
        for part in filter(None, [read_bucket([path], bucket)]):
            questions.append(column_array(part, "question").to_numpy() + asked)
        for part in filter(None, [read_bucket([answers], bucket)]):
            tables.append(part)
            asked += part.num_rows
    taken = pa.concat_tables(tables).combine_chunks()
    taken = taken.take(pa.array(np.concatenate(questions))).combine_chunks()
    for name in taken.column_names:
        if name != "raw":
            whole = whole.append_column(name, taken[name])
    # {"a": 1} and {"b": 2} become {"a": 1,"b": 2}.
    record = pc.utf8_slice_codeunits(whole["golden"], 0, -1)
    rest = pc.utf8_slice_codeunits(taken["raw"], 1)
    comma = pc.if_else(pc.equal(record, "{"), "", ",")
    golden = pc.binary_join_element_wise(record, comma, rest, "")
    place = whole.schema.get_field_index("golden")
    return whole.set_column(place, "golden", golden)


def _ordered(plan: Plan, table: pa.Table) -> pa.Table:
    ids = dict(zip(layout_of(plan.job).ids, matrix_of(table[IDS]).T, strict=True))
    names = [plan.job.adjacent, "request" if "request" in ids else None]
    # The id decides where its hashes are equal: two contexts must not mingle.
    keys = [
        part
        for name in dict.fromkeys(name for name in names if name is not None)
        for part in (salted(ids[name], "order"), ids[name])
    ]
    keys.append(salted(ids["event"], "order"))
    if ELAPSED in table.column_names:
        keys.append(column_array(table, ELAPSED).to_numpy())
    order = np.lexsort(keys[::-1])
    return table.take(pa.array(order)).combine_chunks()


def _shard_limits(plan: Plan, table: pa.Table) -> Iterator[tuple[int, int]]:
    """Yields start and stop of each shard of an ordered table.

    A shard ends where an id does, since shards are read in random order; only rows of
    an id that fill a shard are cut.
    """
    count, limit = table.num_rows, plan.job.preprocessing.rows_per_shard
    ends = np.arange(1, count + 1)
    if plan.job.adjacent is not None:
        column = layout_of(plan.job).ids.index(plan.job.adjacent)
        ids = matrix_of(table[IDS])[:, column]
        ends = np.append(np.flatnonzero(ids[1:] != ids[:-1]) + 1, count)
    start = 0
    while start < count:
        last = int(np.searchsorted(ends, start + limit, side="right")) - 1
        stop = int(ends[last]) if last >= 0 else 0
        stop = stop if stop > start else start + limit
        yield start, stop
        start = stop


def _write_split(
    plan: Plan, bucket: int, split: str, table: pa.Table
) -> dict[str, object]:
    job = plan.job
    compress = job.preprocessing.compression == "gzip"
    suffix = ".tfrecord.gz" if compress else ".tfrecord"
    shards = [
        write_records(
            Path(plan.output),
            f"{split}/bucket-{bucket:08}-{part:08}{suffix}",
            _serialized(table.slice(start, stop - start)),
            compress=compress,
        )
        for part, (start, stop) in enumerate(_shard_limits(plan, table))
    ]
    labels = matrix_of(table[LABELS])
    positives = labels
    if LABEL_KINDS in table.column_names:
        # An impression is counted in the row that tells of its label.
        positives = labels * (matrix_of(table[LABEL_KINDS]) != EventKind.REPEATED)
    times = column_array(table, EVENT_TIME).to_numpy()
    _keep_golden(plan, bucket, split, table)
    summary: dict[str, object] = {
        "shards": [shard.model_dump() for shard in shards],
        "rows": table.num_rows,
        "positives": {
            name: int(positives[:, i].sum()) for i, name in enumerate(job.labels)
        },
        "first_time": int(times.min()),
        "last_time": int(times.max()),
    }
    if split == "train":
        weights = _weights(plan, table, labels)
        summary["moments"] = numeric_moments(job, table, weights)
        summary["distributions"] = count_distributions(job, table, weights)
        counted = {
            f"counts/{name}": counts
            for name, counts in value_counts(job, table, weights).items()
        }
        for name, cells in numeric_cells(job, table, weights).items():
            counted[f"cells/{name}"] = cells
        for name, counts in counted.items():
            path = plan.scratch.folder(name) / f"{bucket:08}.arrow"
            write_buckets(path, counts, np.zeros(counts.num_rows, np.int64), 1)
    return summary


def _weights(
    plan: Plan, table: pa.Table, labels: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Returns 1 for positives and 1/r for negatives of the sampled label."""
    rates = column_array(table, NEGATIVE_KEEP_RATE).to_numpy().astype(np.float64)
    sampled = labels[:, list(plan.job.labels).index(plan.job.sampled_label)]
    weights: npt.NDArray[np.float64] = np.where(sampled == 1, 1.0, 1.0 / rates)
    return weights


def _serialized(table: pa.Table) -> Iterator[pa.Array]:
    examples = table.drop_columns(["split", "rate", "golden"])
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        yield serialize_examples(examples.slice(start, _ROWS_AT_ONCE))


def _keep_golden(plan: Plan, bucket: int, split: str, table: pa.Table) -> None:
    """Keeps the rows that may be golden: those with the smallest hashes."""
    hashes = salted(matrix_of(table[IDS])[:, 0], "golden")
    candidates = np.flatnonzero(
        column_array(table, "golden").is_valid().to_numpy(False)
    )
    order = candidates[np.argsort(hashes[candidates], kind="stable")]
    chosen = order[: plan.job.preprocessing.golden_rows]
    if len(chosen) == 0:
        return
    picked = table.take(pa.array(chosen)).combine_chunks()
    content = pa.table(
        {
            "hash": pa.array(hashes[chosen]),
            "record": picked["golden"],
            "example": pa.concat_arrays(list(_serialized(picked))),
        }
    )
    path = plan.scratch.folder(f"golden/{split}") / f"{bucket:08}.arrow"
    write_buckets(path, content, np.zeros(len(chosen), np.int64), 1)
