"""Side tables in the pipeline: impressions find the rows that held at their times.

A small table is read once, sorted, and mapped into memory by every worker. A large one
is cut into buckets by its keys. Impressions then go to the buckets of their keys, one
large table after the other, with all that is known of them so far, and are encoded
after the last one. The examples are the same either way.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from configs.errors import DataError
from configs.job import Job
from preprocessing.block_rows import PIECES, Account, good_rows
from preprocessing.blocks import Block
from preprocessing.fields import (
    id_field,
    key_field,
    table_feature_fields,
    table_log_name,
)
from preprocessing.files import LogFile
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.impression_rows import write_impressions
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.scratch import BucketFile, read_bucket, write_buckets
from preprocessing.side_tables import join_table, sorted_rows, with_fingerprints

__all__ = [
    "WAITING",
    "enrich_impressions",
    "hold_tables",
    "large_tables",
    "meet_table",
    "table_of",
    "write_table_rows",
]

WAITING = ":waiting"
"""Kind of the bucket files of impressions that are yet to meet a table."""

_ROWS_AT_ONCE = 1 << 16
"""Impressions of a bucket that are encoded at a time."""


def table_of(log: str) -> str | None:
    """Returns the side table that a log is, None if it is none."""
    name = log.removeprefix(table_log_name(""))
    return None if name == log else name


def large_tables(job: Job, files: Sequence[LogFile]) -> tuple[str, ...]:
    """Returns the names of the side tables that are too large to be held whole.

    Args:
        job: says what is too large.
        files: of all logs.
    """
    limit = job.preprocessing.broadcast_bytes
    sizes: Counter[str] = Counter()
    for file in files:
        name = table_of(file.log)
        if name is not None:
            sizes[name] += file.bytes
    return tuple(name for name, size in sizes.items() if size > limit)


def hold_tables(plan: Plan, blocks: Sequence[Block]) -> tuple[Plan, list[Block]]:
    """Reads the side tables that are to be held whole.

    Args:
        plan: of the run.
        blocks: of all logs.

    Returns:
        The plan with their files, and the blocks that are left.
    """
    parts: dict[str, list[pa.Table]] = {}
    left = []
    for block in blocks:
        name = table_of(block.file.log)
        if name is None or name in plan.met:
            left.append(block)
            continue
        account = Account()
        found = parts.setdefault(name, [])
        found += [_prepared(good) for _, good in good_rows(plan, block, account)]
        account.leave(plan, block)
    held = {}
    for name, tables in parts.items():
        if not tables:
            raise DataError(
                f"no record of data.tables.{name} can be used: all are dead letters."
                " Mend the table, or the job file's description of it"
            )
        rows = _counted(plan, name, pa.concat_tables(tables), name)
        path = plan.scratch.folder("held") / f"{name}.arrow"
        write_buckets(path, rows, np.zeros(rows.num_rows, np.int64), 1)
        held[name] = str(path)
    return dataclasses.replace(plan, held=held), left


def write_table_rows(
    plan: Plan, name: str, table: pa.Table, ordinal: int
) -> Iterator[BucketFile]:
    """Writes good rows of a large table into the buckets of their keys."""
    rows = _prepared(table)
    path = plan.scratch.folder(f"tables/{name}") / f"{ordinal:016}.arrow"
    buckets = bucket_of(column_array(rows, "fingerprint").to_numpy(), plan.buckets)
    for bucket in write_buckets(path, rows, buckets, plan.buckets):
        yield BucketFile(kind=table_log_name(name), bucket=bucket, path=str(path))


def enrich_impressions(
    plan: Plan, table: pa.Table, ordinal: int, counters: Counter[str]
) -> list[BucketFile]:
    """Adds what the held tables know to good impressions, and writes them or sends
    them on to the first large table.

    Args:
        plan: of the run.
        table: fields of impressions.
        ordinal: a number of their own for these rows.
        counters: are added to.
    """
    for name in plan.job.data.tables:
        if name not in plan.met:  # nor held, where a day has no files of it
            paths = [plan.held[name]] if name in plan.held else []
            table = _joined(plan, name, table, read_bucket(paths, 0), counters)
    return _send_on(plan, 0, table, ordinal, counters)


def meet_table(
    plan: Plan,
    place: int,
    bucket: int,
    impressions: Sequence[str],
    rows: Sequence[str],
) -> list[BucketFile]:
    """Joins a bucket of a large table to the impressions with its keys.

    Args:
        plan: of the run.
        place: of the table in `plan.met`.
        bucket: its number.
        impressions: bucket files of waiting impressions.
        rows: bucket files of the table.
    """
    name = plan.met[place]
    found = read_bucket(sorted(rows), bucket)
    source = f"{name}-{bucket:08}"
    known = None if found is None else _counted(plan, name, found, source)
    waiting = read_bucket(sorted(impressions), bucket)
    counters: Counter[str] = Counter()
    files: list[BucketFile] = []
    if waiting is not None:
        for start in range(0, waiting.num_rows, _ROWS_AT_ONCE):
            piece = waiting.slice(start, _ROWS_AT_ONCE).combine_chunks()
            joined = _joined(plan, name, piece, known, counters)
            ordinal = (plan.first_block + bucket) * PIECES + start // _ROWS_AT_ONCE
            files += _send_on(plan, place + 1, joined, ordinal, counters)
    plan.scratch.write_json(
        "summaries", f"meet-{source}", {"counters": counters, "dead": {}}
    )
    return files


def _send_on(
    plan: Plan, place: int, table: pa.Table, ordinal: int, counters: Counter[str]
) -> list[BucketFile]:
    """Writes impressions for the large table at `place`, or as what they are if there
    is none any more."""
    if place == len(plan.met):
        return write_impressions(plan, table, ordinal, counters)
    keys = column_array(table, key_field(plan.met[place]))
    # Impressions without a key meet nothing: let them not all be in one bucket.
    events = column_array(table, id_field("event"))
    without = keys.to_numpy(zero_copy_only=False) == ""
    hashed = fingerprints_of(keys)
    hashed[without] = fingerprints_of(events.filter(pa.array(without)), distinct=True)
    path = plan.scratch.folder(f"waiting/{place}") / f"{ordinal:016}.arrow"
    buckets = bucket_of(hashed, plan.buckets)
    filled = write_buckets(path, table, buckets, plan.buckets)
    return [BucketFile(kind=WAITING, bucket=b, path=str(path)) for b in filled]


def _joined(
    plan: Plan,
    name: str,
    table: pa.Table,
    rows: pa.Table | None,
    counters: Counter[str],
) -> pa.Table:
    keys = fingerprints_of(column_array(table, key_field(name)))
    fields = table_feature_fields(plan.job, name)
    return join_table(table, keys, name, rows, fields, counters)


def _prepared(table: pa.Table) -> pa.Table:
    return with_fingerprints(table, fingerprints_of(column_array(table, "key")))


def _counted(plan: Plan, name: str, table: pa.Table, source: str) -> pa.Table:
    """Sorts rows, and leaves word of those that do not count."""
    rows = sorted_rows(table)
    deletions = int(np.sum(column_array(rows, "deleted").to_numpy()))
    log = table_log_name(name)
    counters = {
        f"{log}.duplicates": table.num_rows - rows.num_rows,
        f"{log}.deletions": deletions,
        f"{log}.kept": rows.num_rows - deletions,
    }
    plan.scratch.write_json(
        "summaries", f"table-{source}", {"counters": counters, "dead": {}}
    )
    return rows
