"""Impressions as bucket files: wide ones, encoded, and narrow ones to be joined.

An impression is written twice. Its encoded features go to the bucket of the id that is
to be adjacent (`Job.adjacent`; of its event where there is none), where examples are
made, so that the rows of a request or session end up side by side. A narrow row (id,
time, sampling) goes to the bucket of its event id, where duplicates and labels are
found.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.columns import raw_columns
from configs.job import Job
from configs.layout import IDS, layout_of
from preprocessing.behaviours import index_columns
from preprocessing.day import STATE, TOLD
from preprocessing.encode_rows import encode_rows, matrix_of
from preprocessing.fields import id_field, label_field, raw_field
from preprocessing.golden import golden_candidates, raw_records, raw_values
from preprocessing.hashing import mix
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.scratch import BucketFile, read_bucket, write_buckets
from preprocessing.splitting import assign_splits, keep_rates

__all__ = ["INDEX", "ROWS", "take_rows", "write_impressions"]

ROWS, INDEX = ":rows", ":index"
"""Kinds of the bucket files of impressions, wide and narrow; labels have no colon in
their names."""


def write_impressions(
    plan: Plan, table: pa.Table, ordinal: int, counters: Counter[str]
) -> list[BucketFile]:
    """Encodes impressions and writes them, wide and narrow.

    Args:
        plan: of the run.
        table: all fields of good impressions.
        ordinal: a number of their own for these rows; it names the files.
        counters: are added to.
    """
    job = plan.job
    encoded = encode_rows(job, table, counters)
    ids = _ids_by_name(job, encoded)
    times = column_array(table, "time").to_numpy()
    splits = assign_splits(job, times, ids)
    rates = keep_rates(job, table, splits)
    home = bucket_of(ids[job.adjacent or "event"], plan.buckets)
    rows = _rows_in_buckets(home, plan.buckets)
    golden = _golden_candidates(plan, table, ids["event"], splits)
    wide = (
        encoded.append_column("split", pa.array(splits))
        .append_column("rate", pa.array(rates))
        .append_column("golden", golden)
    )
    narrow = {
        "id": column_array(table, id_field("event")),
        "fingerprint": pa.array(ids["event"]),
        "time": pa.array(times),
        "content": pa.array(_content_hashes(encoded)),
        "split": pa.array(splits),
        "rate": pa.array(rates),
        "home": pa.array(home.astype(np.int32)),
        "file": pa.array(np.full(len(rows), ordinal, np.int64)),
        "row": pa.array(rows),
    }
    for name, label in job.labels.items():
        if label.column is not None:
            narrow[label_field(name)] = column_array(table, label_field(name))
    narrow |= index_columns(job, table, ids.get("user"))
    if plan.day is not None:
        narrow[STATE] = pa.array(np.zeros(len(rows), np.int8))
        if plan.day.settled is not None:
            narrow[TOLD] = pa.array(np.zeros(len(rows), np.int64))
    event_buckets = bucket_of(ids["event"], plan.buckets)
    files = []
    for kind, content, buckets in (
        (ROWS, wide, home),
        (INDEX, pa.table(narrow), event_buckets),
    ):
        path = plan.scratch.folder(kind.lstrip(":")) / f"{ordinal:016}.arrow"
        filled = write_buckets(path, content, buckets, plan.buckets)
        files += [BucketFile(kind=kind, bucket=b, path=str(path)) for b in filled]
    return files


def take_rows(paths: Sequence[str], bucket: int, narrow: pa.Table) -> pa.Table:
    """Returns the encoded features of narrow impressions, in their order.

    Args:
        paths: of bucket files; the number in a name is the `file` of narrow rows.
        bucket: in which these have their home.
        narrow: columns `file` and `row`.
    """
    by_number = {int(Path(path).stem): path for path in paths}
    files = column_array(narrow, "file").to_numpy()
    rows = column_array(narrow, "row").to_numpy()
    order = np.argsort(files, kind="stable")
    numbers, starts = np.unique(files[order], return_index=True)
    taken = []
    for number, chosen in zip(numbers, np.split(order, starts[1:]), strict=True):
        found = read_bucket([by_number[int(number)]], bucket)
        if found is not None:
            taken.append(found.take(pa.array(rows[chosen])))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return pa.concat_tables(taken).take(pa.array(places)).combine_chunks()


def _ids_by_name(job: Job, encoded: pa.Table) -> dict[str, npt.NDArray[np.int64]]:
    matrix = matrix_of(encoded[IDS])
    return {name: matrix[:, i] for i, name in enumerate(layout_of(job).ids)}


def _rows_in_buckets(
    buckets: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """Returns the position of each row inside its bucket of the file."""
    order = np.argsort(buckets, kind="stable")
    sizes = np.bincount(buckets, minlength=count)
    starts = np.cumsum(sizes) - sizes
    rows = np.empty(len(buckets), np.int64)
    rows[order] = np.arange(len(buckets)) - starts[buckets[order]]
    return rows


def _content_hashes(encoded: pa.Table) -> npt.NDArray[np.uint64]:
    """Hashes everything in a row: the tie-break between rows of one id and time."""
    total = np.zeros(encoded.num_rows, np.uint64)
    for name in encoded.schema.names:
        array = column_array(encoded, name)
        if pa.types.is_list(array.type):
            hashed = _list_hashes(array)
            total = mix(total ^ hashed)
        elif pa.types.is_fixed_size_list(array.type):
            for column in matrix_of(array).T:
                total = mix(total ^ _bits(column))
        else:
            total = mix(total ^ _bits(array.to_numpy()))
    return total


def _list_hashes(array: pa.Array) -> npt.NDArray[np.uint64]:
    offsets = array.offsets.to_numpy()
    lengths = np.diff(offsets)
    flat = _bits(array.flatten().to_numpy(zero_copy_only=False))
    places = np.arange(len(flat)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    hashed = mix(flat ^ mix(places.astype(np.uint64)))
    # Sums of runs, by differences of the running sum; both wrap around alike.
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashed)])
    ends = offsets - offsets[0]
    sums: npt.NDArray[np.uint64] = running[ends[1:]] - running[ends[:-1]]
    return sums ^ mix(lengths.astype(np.uint64))


def _bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    if values.dtype == np.float32:
        values = np.ascontiguousarray(values).view(np.uint32)
    return values.astype(np.uint64)


def _golden_candidates(
    plan: Plan,
    table: pa.Table,
    events: npt.NDArray[np.int64],
    splits: npt.NDArray[np.int8],
) -> pa.Array:
    """Returns the raw record of each row that may become a golden row, else null."""
    chosen = np.flatnonzero(golden_candidates(plan.golden_shares, events, splits))
    records: npt.NDArray[Any] = np.full(table.num_rows, None, object)
    if len(chosen):
        picked = table.take(pa.array(chosen))
        columns = {
            column.name: raw_values(
                picked[raw_field(column.name)].to_pylist(), column.type, column.unit
            )
            for column in raw_columns(plan.job).values()
            if not column.built
        }
        records[chosen] = raw_records(columns, len(chosen))
    return pa.array(records, pa.string())
