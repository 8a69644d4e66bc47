"""First stage: a block of a log becomes bucket files.

An impression is written twice. Its encoded features go to the bucket of the id that is
to be adjacent (`Job.adjacent`; of its event where there is none), where examples are
made, so that the rows of a request or session end up side by side. A narrow row (id,
time, sampling) goes to the bucket of its event id, where duplicates and labels are
found.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from configs.columns import raw_columns
from configs.job import Job
from configs.layout import IDS, layout_of
from preprocessing.blocks import Block
from preprocessing.dead_letters import dead_name, keep_letters
from preprocessing.encode_rows import encode_rows, matrix_of
from preprocessing.fields import (
    IMPRESSIONS,
    id_field,
    label_field,
    raw_field,
)
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.hashing import mix, salted, unit_interval
from preprocessing.normalize import REASON, RECORD
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.reading import read_block
from preprocessing.reasons import REASONS
from preprocessing.scratch import write_buckets
from preprocessing.splitting import SPLITS, assign_splits, keep_rates

__all__ = ["INDEX", "ROWS", "BucketFile", "split_block"]

ROWS, INDEX = ":rows", ":index"
"""Kinds of the bucket files of impressions; labels have no colon in their names."""

_PIECES = 1 << 20
"""Pieces that a block can have at most."""


@dataclass(frozen=True, kw_only=True)
class BucketFile:
    """A bucket's rows in a file.

    Attributes:
        kind: `ROWS` (encoded impressions), `INDEX` (narrow ones), or the name of a
            label (events).
        bucket: number of the bucket.
        path: of the file.
    """

    kind: str
    bucket: int
    path: str


def split_block(plan: Plan, block: Block) -> tuple[list[BucketFile], int | None]:
    """Reads a block and writes bucket files, dead letters and a summary.

    Returns:
        The files, and the last time in the block (None if it holds no good record).
    """
    log = block.file.log
    counters: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    letters: dict[str, list[dict[str, Any]]] = {}
    files: list[BucketFile] = []
    last_time: int | None = None
    for piece, table in enumerate(read_block(block, plan.fields[log])):
        counters[f"{log}.read"] += table.num_rows
        good = _without_dead(block, table, dead, letters)
        if good.num_rows == 0:
            continue
        latest = int(pc.max(good["time"]).as_py())
        last_time = latest if last_time is None else max(last_time, latest)
        ordinal = block.number * _PIECES + piece
        if log == IMPRESSIONS:
            files += _write_impressions(plan, good, ordinal, counters)
        else:
            files += _write_events(plan, log, good, ordinal)
    max_kept = plan.job.preprocessing.dead_letters.max_kept
    keep_letters(plan.scratch, f"block-{block.number:08}", letters, max_kept)
    plan.scratch.write_json(
        "summaries",
        f"split-{block.number:08}",
        {"log": log, "counters": counters, "dead": dead},
    )
    return files, last_time


def _without_dead(
    block: Block,
    table: pa.Table,
    dead: Counter[str],
    letters: dict[str, list[dict[str, Any]]],
) -> pa.Table:
    reasons = column_array(table, REASON).to_numpy()
    bad = reasons != 0
    if bad.any():
        rejected = table.select([REASON, RECORD]).filter(pa.array(bad))
        for code, record in zip(
            rejected[REASON].to_pylist(), rejected[RECORD].to_pylist(), strict=True
        ):
            name = dead_name(block.file.log, REASONS[code])
            dead[name] += 1
            letters.setdefault(name, []).append(
                {"reason": REASONS[code], "file": block.file.path, "record": record}
            )
        table = table.filter(pa.array(~bad))
    return table.drop_columns([REASON, RECORD]).combine_chunks()


def _write_events(
    plan: Plan, log: str, table: pa.Table, ordinal: int
) -> Iterator[BucketFile]:
    label = log.partition(".")[2]
    ids = fingerprints_of(column_array(table, "event"), distinct=True)
    path = plan.scratch.folder(f"events/{label}") / f"{ordinal:016}.arrow"
    buckets = bucket_of(ids, plan.buckets)
    for bucket in write_buckets(path, table, buckets, plan.buckets):
        yield BucketFile(kind=label, bucket=bucket, path=str(path))


def _write_impressions(
    plan: Plan, table: pa.Table, ordinal: int, counters: Counter[str]
) -> list[BucketFile]:
    job = plan.job
    encoded = encode_rows(job, table, counters)
    ids = _ids_by_name(job, encoded)
    times = column_array(table, "time").to_numpy()
    splits = assign_splits(job, times, ids)
    rates = keep_rates(job, table, splits)
    home = bucket_of(ids[job.adjacent or "event"], plan.buckets)
    rows = _rows_in_buckets(home, plan.buckets)
    wide = encoded.append_column("split", pa.array(splits)).append_column(
        "rate", pa.array(rates)
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
    _keep_golden_candidates(plan, table, ids["event"], splits, rows, home, ordinal)
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


def _keep_golden_candidates(
    plan: Plan,
    table: pa.Table,
    events: npt.NDArray[np.int64],
    splits: npt.NDArray[np.int8],
    rows: npt.NDArray[np.int64],
    home: npt.NDArray[np.int64],
    ordinal: int,
) -> None:
    # The last place is for rows outside of every split, which NO_SPLIT (-1) finds.
    shares = np.array([*(plan.golden_shares[name] for name in SPLITS), 0.0])
    chosen = np.flatnonzero(unit_interval(salted(events, "golden")) < shares[splits])
    if len(chosen) == 0:
        return
    picked = table.take(pa.array(chosen))
    columns = {
        column.name: _raw_values(
            picked[raw_field(column.name)].to_pylist(), column.type
        )
        for column in raw_columns(plan.job).values()
    }
    names = list(columns)
    records = [
        orjson.dumps(dict(zip(names, values, strict=True))).decode()
        for values in zip(*columns.values(), strict=True)
    ]
    content = pa.table(
        {
            "file": pa.array(np.full(len(chosen), ordinal, np.int64)),
            "home": pa.array(home[chosen]),
            "row": pa.array(rows[chosen]),
            "record": pa.array(records, pa.string()),
        }
    )
    path = plan.scratch.folder("golden_raw") / f"{ordinal:016}.arrow"
    write_buckets(path, content, np.zeros(len(chosen), np.int64), 1)


def _raw_values(values: list[Any], kind: str) -> list[Any]:
    """Returns values as a request spells them: integers, text ("" where missing),
    numbers (null where missing), and lists of these."""
    if kind != "int64":  # orjson writes NaN as null
        return values
    return [
        [int(v) if v else v for v in value]
        if isinstance(value, list)
        else (int(value) if value else value)
        for value in values
    ]
