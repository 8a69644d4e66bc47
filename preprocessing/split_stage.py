"""First stage: a block of a log becomes bucket files.

Impressions find their rows in the side tables that every worker holds whole. Where
there are larger tables too, they set out to meet those (`preprocessing.table_stage`);
else they are encoded and written (`preprocessing.impression_rows`).
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from preprocessing.behaviours import with_event_ids
from preprocessing.block_rows import Account, good_rows
from preprocessing.blocks import Block
from preprocessing.day import STATE
from preprocessing.fields import IMPRESSIONS, behaviour_log_name, event_log_name
from preprocessing.fingerprinting import fingerprints_of
from preprocessing.impression_rows import INDEX, ROWS
from preprocessing.plan import Plan, bucket_of, column_array
from preprocessing.scratch import BucketFile, write_buckets
from preprocessing.table_stage import enrich_impressions, table_of, write_table_rows

__all__ = ["INDEX", "ROWS", "BucketFile", "split_block"]


def split_block(plan: Plan, block: Block) -> tuple[list[BucketFile], int | None]:
    """Reads a block and writes bucket files, dead letters and a summary.

    Returns:
        The files, and the last time in the block (None if it holds no good record, or
        none that is an impression or gives a label).
    """
    log = block.file.log
    account = Account()
    files: list[BucketFile] = []
    last_time: int | None = None
    for ordinal, good in good_rows(plan, block, account):
        table = table_of(log)
        if table is not None:
            files += write_table_rows(plan, table, good, ordinal)
            continue
        if plan.day is not None and plan.day.settled is not None:
            account.note_times(plan.day, block, column_array(good, "time").to_numpy())
        if not log.startswith(behaviour_log_name("")):  # which closes no window
            latest = int(pc.max(good["time"]).as_py())
            last_time = latest if last_time is None else max(last_time, latest)
        if log == IMPRESSIONS:
            files += enrich_impressions(plan, good, ordinal, account.counters)
        else:
            files += _write_events(plan, log, good, ordinal)
    account.leave(plan, block)
    return files, last_time


def _write_events(
    plan: Plan, log: str, table: pa.Table, ordinal: int
) -> Iterator[BucketFile]:
    label = log.removeprefix(event_log_name("")).removeprefix(behaviour_log_name(""))
    if "event" not in table.column_names:
        table = with_event_ids(table)
    if plan.day is not None:
        table = table.append_column(STATE, pa.array(np.zeros(len(table), np.int8)))
    ids = fingerprints_of(column_array(table, "event"), distinct=True)
    path = plan.scratch.folder(f"events/{label}") / f"{ordinal:016}.arrow"
    buckets = bucket_of(ids, plan.buckets)
    for bucket in write_buckets(path, table, buckets, plan.buckets):
        yield BucketFile(kind=label, bucket=bucket, path=str(path))
