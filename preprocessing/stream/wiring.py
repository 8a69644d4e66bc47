"""The stages of a run one after the other in this process.

The same functions that `preprocessing.pipeline` hands to Beam, in the same order. A
runner's start costs about a CPU second, more than a micro-batch of some thousand
records does, and the watermark has to be known between two stages.
"""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from configs.histories import behaviour_sources
from preprocessing.blocks import Block
from preprocessing.carry_over import carried_files
from preprocessing.event_stage import deduplicate_events, resolve_bucket
from preprocessing.history_stage import HISTORIES, build_histories
from preprocessing.impression_rows import INDEX, ROWS
from preprocessing.join_stage import ASKING, LABELED, join_bucket
from preprocessing.plan import Plan
from preprocessing.scratch import BucketFile
from preprocessing.split_stage import split_block
from preprocessing.table_stage import WAITING, meet_table, table_of
from preprocessing.write_stage import write_bucket

__all__ = ["run_stages"]

Newest = Mapping[str, int]
"""The latest time that the partition of each file held, by path."""


class _Exchange:
    """Bucket files between two stages."""

    def __init__(self) -> None:
        self._paths: dict[int, dict[str, list[str]]] = {}

    def add(self, files: Iterable[BucketFile]) -> None:
        for file in files:
            kinds = self._paths.setdefault(file.bucket, {})
            kinds.setdefault(file.kind, []).append(file.path)

    def buckets(self) -> Iterator[tuple[int, dict[str, list[str]]]]:
        """Yields the buckets in order, with their paths by kind, sorted."""
        for bucket, kinds in sorted(self._paths.items()):
            yield bucket, {kind: sorted(paths) for kind, paths in sorted(kinds.items())}


def run_stages(
    plan: Plan,
    blocks: Sequence[Block],
    wide: Sequence[str],
    closing: Callable[[Newest], int],
) -> Plan:
    """Runs all stages.

    Args:
        plan: of the run; its day closes what the micro-batch before it closed.
        blocks: of all logs.
        wide: files of encoded impressions that are carried.
        closing: says by which time windows are closed, when all blocks are split.

    Returns:
        The plan, with the day as it was closed.
    """
    rows, events, newest = _split(plan, blocks)
    if plan.day is None:
        raise TypeError("a micro-batch has a day")
    before = plan.day.closing
    day = dataclasses.replace(
        plan.day, closing=closing(newest), newest=newest, before=before
    )
    plan = dataclasses.replace(plan, day=day)
    users, index = _Exchange(), _Exchange()
    for stage, file in carried_files(day):
        {"rows": index, "users": users}.get(stage, events[file.kind]).add([file])
    answers = _answers(plan, events, users)
    for bucket, kinds in rows.buckets():
        index.add(_files(bucket, INDEX, kinds.get(INDEX, [])))
    for bucket, kinds in answers.buckets():
        for kind, paths in kinds.items():
            index.add(_files(bucket, kind, paths))
    home = _Exchange()
    for bucket, kinds in index.buckets():
        narrow = kinds.pop(INDEX, [])
        found = join_bucket(plan, bucket, narrow, kinds, day.closing)
        home.add(file for file in found if file.kind == LABELED)
        users.add(file for file in found if file.kind != LABELED)
    if behaviour_sources(plan.job):
        for bucket, kinds in users.buckets():
            asking = kinds.pop(ASKING, [])
            home.add(build_histories(plan, bucket, asking, kinds))
    _write(plan, rows, home, wide)
    return plan


def _split(
    plan: Plan, blocks: Sequence[Block]
) -> tuple[_Exchange, dict[str, _Exchange], Newest]:
    """Splits blocks into impressions and, by log, events."""
    rows, tables = _Exchange(), defaultdict[str, _Exchange](_Exchange)
    events = defaultdict[str, _Exchange](_Exchange)
    day = plan.day
    newest = dict(day.newest) if day is not None else {}
    for block in blocks:
        if day is not None:
            known = dataclasses.replace(day, newest=newest)
            plan = dataclasses.replace(plan, day=known)
        for file in split_block(plan, block)[0]:
            if file.kind in (ROWS, INDEX, WAITING):
                rows.add([file])
            elif table_of(block.file.log) is not None:
                tables[file.kind].add([file])
            else:
                events[file.kind].add([file])
        summary = plan.scratch.folder("summaries") / f"split-{block.number:08}.json"
        latest = json.loads(summary.read_bytes())["newest"]
        if latest is not None:
            newest[block.file.path] = latest
    return _meet_tables(plan, rows, tables), events, newest


def _meet_tables(
    plan: Plan, rows: _Exchange, tables: Mapping[str, _Exchange]
) -> _Exchange:
    """Lets impressions meet the large side tables, one after the other."""
    for place, name in enumerate(plan.met):
        met = _Exchange()
        of_table = dict(tables[f"tables.{name}"].buckets())
        for bucket, kinds in rows.buckets():
            found = [
                path for paths in of_table.get(bucket, {}).values() for path in paths
            ]
            met.add(meet_table(plan, place, bucket, kinds.pop(WAITING, []), found))
        rows = met
    return rows


def _answers(
    plan: Plan, events: Mapping[str, _Exchange], users: _Exchange
) -> _Exchange:
    """Removes duplicates from events and finds the impressions that they answer."""
    logs = plan.job.data.events
    answers, by_target = _Exchange(), defaultdict[str, _Exchange](_Exchange)
    for label in sorted(events):
        for bucket, kinds in events[label].buckets():
            found = deduplicate_events(plan, label, bucket, kinds[label])
            if label not in logs:
                users.add(found)
                continue
            target = logs[label].joins
            (answers if target == "impression" else by_target[target]).add(found)
            if any(log.joins == label for log in logs.values()):
                by_target[label].add(_files(bucket, label, kinds[label]))
    for target, exchange in sorted(by_target.items()):
        for bucket, kinds in exchange.buckets():
            targets = kinds.pop(target, [])
            for label, paths in kinds.items():
                answers.add(resolve_bucket(plan, label, bucket, paths, targets))
    return answers


def _write(plan: Plan, rows: _Exchange, home: _Exchange, wide: Sequence[str]) -> None:
    new = {bucket: kinds.get(ROWS, []) for bucket, kinds in rows.buckets()}
    for bucket, kinds in home.buckets():
        labeled = kinds.get(LABELED, [])
        histories = kinds.get(HISTORIES, [])
        if labeled:
            paths = [*wide, *new.get(bucket, [])]
            write_bucket(plan, bucket, paths, labeled, histories)


def _files(bucket: int, kind: str, paths: Iterable[str]) -> Iterator[BucketFile]:
    for path in paths:
        yield BucketFile(kind=kind, bucket=bucket, path=path)
