"""The Beam pipeline: it moves blocks and paths between the stages, never rows.

blocks -> split -> events, by label and bucket --> deduplicate -> (resolve) -+
             |---> narrow impressions, by bucket -----------------> join <---+
             +---> encoded impressions, by bucket --> write <-------+

Where sequences are built of events, join sends what it keeps, and the behaviours that
it finds, to buckets of users; histories come home from there.

Where there are large side tables, impressions come out of split unencoded, meet them
by bucket, one table after the other, and go on narrow and encoded from there.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from configs.errors import DataError, JobError, PairstreamError
from configs.histories import behaviour_sources
from preprocessing.blocks import Block
from preprocessing.carry_over import carried_files
from preprocessing.carry_stage import OPEN
from preprocessing.event_stage import deduplicate_events, resolve_bucket
from preprocessing.fields import table_log_name
from preprocessing.history_stage import HISTORIES, build_histories
from preprocessing.join_stage import ASKING, LABELED, join_bucket
from preprocessing.plan import Plan
from preprocessing.split_stage import INDEX, ROWS, BucketFile, split_block
from preprocessing.table_stage import WAITING, meet_table, table_of
from preprocessing.write_stage import write_bucket

__all__ = ["run_pipeline"]

_Keyed = tuple[str, tuple[str, str]]
"""A bucket (or label/bucket) in decimal, and kind and path of a bucket file."""

_TABLES = "tables"
_TIMES = "times"
_EVENTS = "events"
_USERS = "users"


def run_pipeline(
    plan: Plan, blocks: Sequence[Block], runner: str, beam_arguments: Sequence[str]
) -> None:
    """Runs all stages and waits for the end.

    Args:
        plan: of the run.
        blocks: of all logs.
        runner: name of a Beam runner.
        beam_arguments: options for it, as on a command line.

    Raises:
        JobError: if there is no such runner or option.
        PairstreamError: that a stage raised, whatever the runner made of it.
    """
    options = PipelineOptions([*beam_arguments, f"--runner={runner}"])
    _check_options(options)
    try:
        pipeline = beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise JobError(
            f"--runner {runner}: Beam cannot make this runner ({error}). Expected the"
            " name of a Beam runner, such as FnApiRunner, and its options"
        ) from error
    _build(pipeline, plan, blocks)
    try:
        pipeline.run().wait_until_finish()
    except Exception:
        for record in plan.scratch.read_json("errors"):
            raise _error(record) from None
        raise


def _check_options(options: PipelineOptions) -> None:
    """Refuses what Beam would leave aside without a word, such as a misspelled flag."""
    given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    unknown = given.keys() - options.get_all_options().keys()
    if unknown:
        names = ", ".join(f"--{name}" for name in sorted(unknown))
        raise JobError(
            f"unknown option {names}: expected one of this command (see --help) or of"
            " Beam. Check its spelling"
        )


def _build(pipeline: Any, plan: Plan, blocks: Sequence[Block]) -> None:
    split = (
        pipeline
        | "Blocks" >> beam.Create(list(blocks), reshuffle=True)
        | "Split"
        >> beam.ParDo(_Split(plan)).with_outputs(_TIMES, _EVENTS, _TABLES, main="rows")
    )
    rows = _meet_tables(plan, split["rows"], split[_TABLES])
    carried = _carried(pipeline, plan)
    rows = (rows, carried["rows"]) | "AllRows" >> beam.Flatten()
    last_time = beam.pvalue.AsSingleton(
        split[_TIMES] | "LastTime" >> beam.CombineGlobally(_latest)
    )
    events = (
        (split[_EVENTS], carried["events"])
        | "AllEvents" >> beam.Flatten()
        | "EventsByBucket" >> beam.GroupByKey()
        | "Deduplicate"
        >> beam.ParDo(_Deduplicate(plan)).with_outputs(_EVENTS, _USERS, main="answers")
    )
    resolved = (
        events[_EVENTS]
        | "EventsByTarget" >> beam.GroupByKey()
        | "Resolve" >> beam.ParDo(_Resolve(plan))
    )
    joined = (
        (rows, events["answers"], resolved)
        | "Joinable" >> beam.Flatten()
        | "ByBucket" >> beam.GroupByKey()
        | "Join" >> beam.ParDo(_Join(plan), last_time).with_outputs(_USERS, main="home")
    )
    users = (joined[_USERS], events[_USERS], carried["users"])
    labeled = (joined["home"], *_histories(plan, users))
    _ = (
        (*labeled, rows)
        | "Writable" >> beam.Flatten()
        | "ByHome" >> beam.GroupByKey()
        | "Write" >> beam.ParDo(_Write(plan))
    )


def _carried(pipeline: Any, plan: Plan) -> dict[str, Any]:
    """Returns what the day before left, by the stage that it enters."""
    found: dict[str, list[Any]] = {"rows": [], "events": [], "users": []}
    for stage, file in carried_files(plan.day) if plan.day else ():
        bucket, named = _keyed(file)
        key = f"{file.kind}/{bucket}" if stage == "events" else bucket
        found[stage].append((key, named))
    return {
        stage: pipeline | f"Carried/{stage}" >> beam.Create(files, reshuffle=False)
        for stage, files in found.items()
    }


def _histories(plan: Plan, users: tuple[Any, ...]) -> Iterator[Any]:
    """Lets impressions find their histories, where there are any."""
    if behaviour_sources(plan.job):
        yield (
            users
            | "Users" >> beam.Flatten()
            | "ByUser" >> beam.GroupByKey()
            | "Histories" >> beam.ParDo(_Histories(plan))
        )


def _meet_tables(plan: Plan, rows: Any, tables: Any) -> Any:
    """Lets impressions meet the large side tables, one after the other."""
    for place, name in enumerate(plan.met):
        chosen = tables | f"Choose/{name}" >> beam.Filter(_is_of, table_log_name(name))
        rows = (
            (rows, chosen)
            | f"Meeting/{name}" >> beam.Flatten()
            | f"ByKey/{name}" >> beam.GroupByKey()
            | f"Meet/{name}" >> beam.ParDo(_Meet(plan, place))
        )
    return rows


def _is_of(keyed: _Keyed, kind: str) -> bool:
    return keyed[1][0] == kind


def _latest(times: Iterable[int]) -> int:
    return max(times, default=0)


class _Stage(beam.DoFn):
    """Leaves errors that a user can mend where the driver finds them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @contextmanager
    def guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except PairstreamError as error:
            self._leave(name, type(error).__name__, str(error))
            raise
        except OSError as error:
            message = (
                f"a file cannot be read or written: {error}. Make room, or mend it"
            )
            self._leave(name, DataError.__name__, message)
            raise

    def _leave(self, name: str, kind: str, message: str) -> None:
        with suppress(OSError):  # the disk may be full
            record = {"type": kind, "message": message}
            self.plan.scratch.write_json("errors", name, record)


def _error(record: dict[str, Any]) -> PairstreamError:
    import configs.errors

    kind = getattr(configs.errors, record["type"])
    error: PairstreamError = kind(record["message"])
    return error


class _Split(_Stage):
    def process(self, block: Block) -> Iterator[Any]:
        with self.guarded(f"block-{block.number:08}"):
            files, last_time = split_block(self.plan, block)
        is_table = table_of(block.file.log) is not None
        if last_time is not None:
            yield beam.pvalue.TaggedOutput(_TIMES, last_time)
        for file in files:
            if file.kind in (ROWS, INDEX, WAITING):
                yield _keyed(file)
            elif is_table:
                yield beam.pvalue.TaggedOutput(_TABLES, _keyed(file))
            else:
                yield _for_target(file.kind, _keyed(file))


class _Meet(_Stage):
    def __init__(self, plan: Plan, place: int) -> None:
        super().__init__(plan)
        self.place = place

    def process(self, element: tuple[str, Iterable[tuple[str, str]]]) -> Iterator[Any]:
        files = _by_kind(element[1])
        bucket = int(element[0])
        waiting = files.pop(WAITING, [])
        rows = [path for paths in files.values() for path in paths]
        with self.guarded(f"meet-{self.place}-{bucket:08}"):
            found = meet_table(self.plan, self.place, bucket, waiting, rows)
        yield from map(_keyed, found)


class _Deduplicate(_Stage):
    def process(self, element: tuple[str, Iterable[tuple[str, str]]]) -> Iterator[Any]:
        label, _, bucket = element[0].rpartition("/")
        paths = [path for _, path in element[1]]
        logs = self.plan.job.data.events
        with self.guarded(f"events-{label}-{bucket}"):
            found = deduplicate_events(self.plan, label, int(bucket), paths)
        if label not in logs:
            yield from map(_for_user, found)
            return
        target = logs[label].joins
        for file in found:
            if target == "impression":
                yield _keyed(file)
            else:
                yield _for_target(target, _keyed(file))
        if any(log.joins == label for log in logs.values()):
            for path in paths:
                yield _for_target(label, (bucket, (label, path)))


class _Resolve(_Stage):
    def process(self, element: tuple[str, Iterable[tuple[str, str]]]) -> Iterator[Any]:
        target, _, bucket = element[0].rpartition("/")
        files = _by_kind(element[1])
        targets = files.pop(target, [])
        for label, paths in sorted(files.items()):
            with self.guarded(f"resolve-{label}-{bucket}"):
                found = resolve_bucket(self.plan, label, int(bucket), paths, targets)
            yield from map(_keyed, found)


class _Join(_Stage):
    def process(
        self, element: tuple[str, Iterable[tuple[str, str]]], last_time: int
    ) -> Iterator[Any]:
        files = _by_kind(element[1])
        files.pop(ROWS, None)
        index = files.pop(INDEX, [])
        bucket = int(element[0])
        if self.plan.day is not None:
            last_time = self.plan.day.closing
        with self.guarded(f"join-{bucket:08}"):
            joined = join_bucket(self.plan, bucket, index, files, last_time)
        for file in joined:
            yield _keyed(file) if file.kind in (LABELED, OPEN) else _for_user(file)


class _Histories(_Stage):
    def process(self, element: tuple[str, Iterable[tuple[str, str]]]) -> Iterator[Any]:
        files = _by_kind(element[1])
        asking = files.pop(ASKING, [])
        bucket = int(element[0])
        with self.guarded(f"histories-{bucket:08}"):
            found = build_histories(self.plan, bucket, asking, files)
        yield from map(_keyed, found)


class _Write(_Stage):
    def process(self, element: tuple[str, Iterable[tuple[str, str]]]) -> None:
        files = _by_kind(element[1])
        rows, labeled = files.get(ROWS, []), files.get(LABELED, [])
        histories, opened = files.get(HISTORIES, []), files.get(OPEN, [])
        bucket = int(element[0])
        with self.guarded(f"write-{bucket:08}"):
            write_bucket(self.plan, bucket, rows, labeled, histories, opened)


def _keyed(file: BucketFile) -> _Keyed:
    return str(file.bucket), (file.kind, file.path)


def _for_user(file: BucketFile) -> Any:
    return beam.pvalue.TaggedOutput(_USERS, _keyed(file))


def _for_target(target: str, keyed: _Keyed) -> Any:
    return beam.pvalue.TaggedOutput(_EVENTS, (f"{target}/{keyed[0]}", keyed[1]))


def _by_kind(files: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Groups paths by kind, sorted: the order that a runner brings them in is left
    behind here."""
    found: dict[str, list[str]] = {}
    for kind, path in sorted(files):
        found.setdefault(kind, []).append(path)
    return found
