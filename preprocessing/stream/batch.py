"""One micro-batch: from its intent to its example set and commit.

It is a daily run (`preprocessing.day`) with the ranges of an intent in place of a day's
files, and the watermark in place of the day's end. Nothing else goes in than the intent
and the commit before it, so making it again gives the same bytes.
"""

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from configs.durations import duration_ms
from configs.errors import DataError, JobError
from configs.job import Job
from configs.manifest import MANIFEST_FILE, Manifest, StreamBatch
from configs.publishing import publish_folder
from configs.stream import StreamJoin
from configs.stream_sets import set_name
from preprocessing.blocks import Block, cut_lines, plan_blocks
from preprocessing.daily import carried_contract
from preprocessing.day import Day
from preprocessing.dead_letters import collect_letters
from preprocessing.fields import IMPRESSIONS, event_log_name, fields_by_log
from preprocessing.files import LogFile, find_files
from preprocessing.finishing import (
    Summaries,
    finish_splits,
    read_summaries,
    write_manifest,
)
from preprocessing.future import refuse_future
from preprocessing.golden import golden_shares
from preprocessing.inspection import inspect_file
from preprocessing.plan import Plan
from preprocessing.scratch import Scratch
from preprocessing.settled import Settled
from preprocessing.stream.arrivals import Arrivals, Part
from preprocessing.stream.keeping import keep_state
from preprocessing.stream.output import Output
from preprocessing.stream.shares import check_recent
from preprocessing.stream.state import Commit, Intent, State
from preprocessing.stream.watermark import BEGINNING, next_watermark
from preprocessing.stream.wiring import run_stages
from preprocessing.table_stage import hold_tables, large_tables

__all__ = ["join_of", "make_batch", "stream_contract"]

_BLOCK_BYTES = 16 << 20
_MAX_BLOCKS = 1 << 14
"""Blocks of a micro-batch: their numbers are its own."""
_GOLDEN_SHARE = 16
"""A set of a stream takes so much fewer candidates for golden rows than another: there
are many sets, and keeping rows raw takes time."""


def join_of(job: Job) -> StreamJoin:
    """Returns the section of the streaming join.

    Raises:
        JobError: if there is none.
    """
    if job.stream is None or job.stream.join is None:
        raise JobError(
            "the job has no stream.join, expected a section that names at least its"
            " folder: stream: {join: {state: build/stream/join}}"
        )
    return job.stream.join


def stream_contract(job: Job) -> dict[str, object]:
    """Returns what all micro-batches of a stream must have in common."""
    contract = carried_contract(job)
    del contract["preprocessing.daily.lateness"]
    # An impression that has left once would otherwise leave again as a whole.
    contract["stream.join.observe"] = join_of(job).observe
    return contract


def make_batch(
    job: Job,
    state: State,
    before: Commit | None,
    intent: Intent,
    arrivals: Arrivals,
    output: Output | None,
) -> tuple[Commit, Manifest]:
    """Makes a micro-batch, publishes its set and commits it.

    Args:
        job: of the stream.
        state: of the stream.
        before: the commit that it goes on from.
        intent: which was written.
        arrivals: the logs.
        output: where examples go besides.

    Raises:
        DataError: if logs have changed, too many records are dead, or the set exists
            with other contents.
    """
    state.clean(before)
    folder = state.work / "arrivals"
    folder.mkdir(parents=True)
    parts = arrivals.parts(intent.frozen, folder)
    target = Path(job.data.examples) / set_name(intent.batch)
    with _published(target, state.work) as folder:
        tables = _tables(job)
        plan = _plan(job, state, before, intent, parts, tables, folder)
        plan, blocks = hold_tables(plan, _blocks(plan, parts, tables))
        _check_count(blocks)
        wide = [] if before is None else [str(state.rows(n)) for n in before.rows]
        marked = _Marked(job, before, intent, parts)
        plan = run_stages(plan, blocks, wide, marked.closing)
        summaries = read_summaries(plan.scratch)
        _add_carried(before, summaries)
        _add_expired(before, intent, summaries)
        kept = job.preprocessing.dead_letters.max_kept
        collect_letters(plan.scratch, folder / "dead_letters", kept)
        positions = arrivals.positions(
            {} if before is None else before.positions, intent.frozen
        )
        recent = check_recent(job, before, summaries, folder, state.root)
        splits = finish_splits(plan, folder, summaries)
        commit = keep_state(
            state,
            before,
            plan,
            Commit(
                batch=intent.batch,
                contract=stream_contract(job),
                watermark=marked.watermark,
                positions=positions,
                newest={p: t for p, t in marked.newest.items() if p in positions},
                latest=marked.latest,
                carried=_carried_out(summaries),
                recent=recent,
            ),
        )
        sent = {} if output is None else output.send(intent.batch, folder, splits)
        stream = StreamBatch(
            batch=intent.batch,
            watermark_ms=commit.watermark,
            positions={name: r.stop for name, r in intent.frozen.ranges.items()},
            topics=sent,
        )
        manifest = write_manifest(
            plan,
            folder,
            splits,
            summaries,
            carry_over=commit.digest,
            continues=intent.continues,
            stream=stream,
        )
    state.write_commit(commit)
    return commit, manifest


@contextmanager
def _published(target: Path, work: Path) -> Iterator[Path]:
    """Yields a folder that becomes `target`; or, where a process was killed between
    publishing a set and committing it, one that must become equal."""
    if not target.exists():
        for left in target.parent.glob(f".{target.name}.partial-*"):
            shutil.rmtree(left)
        with publish_folder(target, mark=MANIFEST_FILE) as folder:
            yield folder
        return
    again = work / "again"
    again.mkdir()
    yield again
    made, found = again / MANIFEST_FILE, target / MANIFEST_FILE
    if not found.is_file() or made.read_bytes() != found.read_bytes():
        raise DataError(
            f"{target} exists, and is not what its micro-batch gives: it is of another"
            " stream, or logs have changed since it was made. Begin anew with another"
            " data.examples and stream.join.state"
        )


class _Marked:
    """How far the stream has come."""

    def __init__(
        self, job: Job, before: Commit | None, intent: Intent, parts: list[Part]
    ) -> None:
        self._before = None if before is None else before.watermark
        self._frozen = intent.frozen
        self._lateness = duration_ms(join_of(job).lateness)
        self._parts = parts
        self.newest = {} if before is None else dict(before.newest)
        self.latest = None if before is None else before.latest
        self.watermark: int | None = self._before

    def closing(self, newest: Mapping[str, int]) -> int:
        """Takes the latest times by file, and returns the watermark."""
        closes = (IMPRESSIONS, event_log_name(""))
        for part in self._parts:
            time = newest.get(part.file.path)
            if time is None:
                continue
            self.newest[part.partition] = time
            if part.file.log.startswith(closes):
                self.latest = time if self.latest is None else max(self.latest, time)
        self.watermark = next_watermark(
            self._before, self.latest, self._frozen, self.newest, self._lateness
        )
        return BEGINNING if self.watermark is None else self.watermark


def _plan(
    job: Job,
    state: State,
    before: Commit | None,
    intent: Intent,
    parts: list[Part],
    tables: list[LogFile],
    folder: Path,
) -> Plan:
    join = join_of(job)
    known = {} if before is None else before.newest
    closed = None if before is None else before.watermark
    segments = {} if before is None else before.segments
    day = Day(
        name=set_name(intent.batch),
        closing=BEGINNING if closed is None else closed,
        memory=duration_ms(join.memory),
        carried=None if before is None else str(state.carry(before.batch)),
        digest=intent.continues,
        carries=str(state.work / "carry"),
        settled=Settled(
            segments={
                kind: [str(state.root / segment.path) for segment in found]
                for kind, found in segments.items()
            },
            leaves=str(state.work / "settled"),
        ),
        newest={p.file.path: known[p.partition] for p in parts if p.partition in known},
    )
    shown = intent.frozen.impressions * _GOLDEN_SHARE
    return Plan(
        job=job,
        fields=refuse_future(fields_by_log(job), intent.clock, join.future),
        scratch=Scratch(str(state.work / "scratch")),
        output=str(folder),
        golden_shares=golden_shares(job, shown),
        met=large_tables(job, tables),
        day=day,
        first_block=intent.batch * _MAX_BLOCKS,
    )


def _tables(job: Job) -> list[LogFile]:
    """Returns the files of the side tables, as they are now."""
    return [
        file
        for name, section in job.data.tables.items()
        for file in find_files(f"tables.{name}", section, f"data.tables.{name}")
    ]


def _blocks(plan: Plan, parts: list[Part], tables: list[LogFile]) -> list[Block]:
    """Cuts what has arrived, and the side tables, into blocks."""
    blocks = []
    for part in parts:
        if part.stop is None:
            blocks += _whole(plan, part.file)
            continue
        for start, end in cut_lines(part.file, _BLOCK_BYTES, part.start, part.stop):
            blocks.append(
                Block(number=0, file=part.file, start=start, end=end, quoted=False)
            )
    for file in tables:
        blocks += _whole(plan, file)
    return [
        dataclasses.replace(block, number=plan.first_block + number)
        for number, block in enumerate(blocks)
    ]


def _whole(plan: Plan, file: LogFile) -> list[Block]:
    columns, _ = inspect_file(file, plan.fields[file.log])
    return plan_blocks([file], {file.path: columns}, _BLOCK_BYTES)


def _check_count(blocks: list[Block]) -> None:
    if len(blocks) > _MAX_BLOCKS:
        raise DataError(
            f"{len(blocks):,} files or parts of files in one micro-batch, expected at"
            f" most {_MAX_BLOCKS:,}: write larger files, or set stream.join.max_records"
            " lower"
        )


def _add_carried(before: Commit | None, summaries: Summaries) -> None:
    for log, count in ({} if before is None else before.carried).items():
        summaries.counters[f"{log}.carried_in"] += count


def _add_expired(before: Commit | None, intent: Intent, summaries: Summaries) -> None:
    """Counts what was gone before it was read: `freeze` went on behind it."""
    known = {} if before is None else before.positions
    for name, part in intent.frozen.ranges.items():
        lost = part.start - known.get(name, part.start)
        if lost > 0:
            summaries.counters[f"streams.{part.log}.expired"] += lost


def _carried_out(summaries: Summaries) -> dict[str, int]:
    found = {}
    for name, count in summaries.counters.items():
        log, _, what = name.rpartition(".")
        if what == "carried_out" and count:
            found[log] = count
    return dict(sorted(found.items()))
