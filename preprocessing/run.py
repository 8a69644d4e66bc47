"""The batch job: from logs to a published example set."""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from configs.errors import DataError
from configs.job import Job
from configs.manifest import MANIFEST_FILE, Manifest
from configs.publishing import publish_folder
from preprocessing.blocks import plan_blocks
from preprocessing.carry_over import carried_counts, write_carry_over
from preprocessing.daily import (
    carried_contract,
    check_daily,
    remove_old_carry_overs,
    start_day,
)
from preprocessing.dead_letters import check_share, collect_letters
from preprocessing.fields import (
    IMPRESSIONS,
    behaviour_log_name,
    event_log_name,
    fields_by_log,
    table_log_name,
)
from preprocessing.files import LogFile, find_files
from preprocessing.finishing import finish_splits, read_summaries, write_manifest
from preprocessing.future import now_ms, refuse_future
from preprocessing.golden import golden_shares
from preprocessing.inspection import inspect_file
from preprocessing.pipeline import run_pipeline
from preprocessing.plan import Plan
from preprocessing.progress import show_progress
from preprocessing.row_numbers import numbered
from preprocessing.scratch import Scratch
from preprocessing.table_report import table_warnings
from preprocessing.table_stage import hold_tables, large_tables

__all__ = ["DEFAULT_BLOCK_BYTES", "DEFAULT_RUNNER", "preprocess"]

DEFAULT_RUNNER = "FnApiRunner"
"""Beam's local runner, by its own name: `DirectRunner` tries others first."""

DEFAULT_BLOCK_BYTES = 16 << 20


def preprocess(
    job: Job,
    *,
    overwrite: bool = False,
    runner: str = DEFAULT_RUNNER,
    beam_arguments: Sequence[str] = (),
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    day: date | None = None,
) -> Manifest:
    """Makes the example set of `job` and publishes it whole, or not at all.

    Args:
        job: the job.
        overwrite: replace an existing example set.
        runner: name of the Beam runner.
        beam_arguments: options for the runner, as on a command line.
        block_bytes: size of the blocks that logs are cut into. It changes memory and
            speed, and no byte of the result.
        day: makes a folder of this day inside `data.examples`, of the logs of this day
            and of what the day before left.

    Raises:
        DataError: if logs are missing, damaged, or of another form than the job says,
            too many records are dead, or the example set exists already or is to lie on
            an object store.
    """
    if "://" in job.data.examples:
        # As a local path it would be a folder named after the scheme.
        raise DataError(
            f"data.examples: {job.data.examples} is on no local disk. Preprocessing"
            " writes to a local folder: name one here, copy it to the store, and name"
            " the store in the job that trains"
        )
    root = target = Path(job.data.examples)
    if day is not None:
        check_daily(job, fields_by_log(job))
        target = root / day.isoformat()
    now = now_ms()
    with publish_folder(target, overwrite=overwrite, mark=MANIFEST_FILE) as folder:
        logs = _inspect(job, day)
        with _scratch_beside(target) as scratch:
            plan = Plan(
                job=job,
                fields=refuse_future(fields_by_log(job), now, job.preprocessing.future),
                scratch=scratch,
                output=str(folder),
                golden_shares=golden_shares(job, logs.estimated_impressions),
                met=large_tables(job, logs.files),
                day=None if day is None else start_day(job, day, root, folder),
            )
            rows = [log for log, fields in plan.fields.items() if numbered(fields)]
            blocks = plan_blocks(logs.files, logs.headers, block_bytes, rows)
            with show_progress(scratch, len(blocks), plan.buckets):
                plan, blocks = hold_tables(plan, blocks)
                run_pipeline(plan, blocks, runner, beam_arguments)
            manifest = _finish(plan, folder, target)
    if day is not None:
        remove_old_carry_overs(job, root)
    return manifest


@dataclass(frozen=True, kw_only=True)
class _Logs:
    files: list[LogFile]
    headers: dict[str, tuple[str, ...]]
    estimated_impressions: int


def _inspect(job: Job, day: date | None) -> _Logs:
    fields = fields_by_log(job)
    sections = {IMPRESSIONS: (job.data.impressions, "data.impressions")}
    for label, log in job.data.events.items():
        sections[event_log_name(label)] = (log, f"data.events.{label}")
    for name, behaviours in job.data.behaviours.items():
        place = f"data.behaviours.{name}"
        sections[behaviour_log_name(name)] = (behaviours, place)
    for table, rows in job.data.tables.items():
        sections[table_log_name(table)] = (rows, f"data.tables.{table}")
    files: list[LogFile] = []
    headers: dict[str, tuple[str, ...]] = {}
    estimated = 0
    for name, (section, place) in sections.items():
        # On a single day there may be no conversion, say; impressions there are.
        may_be_empty = day is not None and name != IMPRESSIONS
        for file in find_files(name, section, place, day, may_be_empty=may_be_empty):
            headers[file.path], records = inspect_file(file, fields[name])
            estimated += records if name == IMPRESSIONS else 0
            files.append(file)
    return _Logs(files=files, headers=headers, estimated_impressions=estimated)


@contextmanager
def _scratch_beside(target: Path) -> Iterator[Scratch]:
    root = tempfile.mkdtemp(prefix=f".{target.name}.scratch-", dir=target.parent)
    try:
        yield Scratch(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _finish(plan: Plan, folder: Path, target: Path) -> Manifest:
    """Gathers what the stages left, and writes the manifest last."""
    summaries = read_summaries(plan.scratch)
    if plan.day is not None:
        summaries.counters.update(carried_counts(plan.day))
    _check_records(plan, summaries.counters, summaries.dead, folder, target)
    splits = finish_splits(plan, folder, summaries)
    manifest = write_manifest(plan, folder, splits, summaries, **_day_fields(plan))
    for warning in _warnings(plan.job, manifest):
        print(f"warning: {warning}", file=sys.stderr)
    return manifest


def _day_fields(plan: Plan) -> dict[str, str | None]:
    if plan.day is None:
        return {}
    digest = write_carry_over(plan.day, carried_contract(plan.job))
    return {"day": plan.day.name, "carry_over": digest, "continues": plan.day.digest}


def _check_records(
    plan: Plan, counters: Counter[str], dead: Counter[str], folder: Path, target: Path
) -> None:
    limits = plan.job.preprocessing.dead_letters
    collect_letters(plan.scratch, folder / "dead_letters", limits.max_kept)
    for log in plan.fields if plan.day is None else [IMPRESSIONS]:
        if counters[f"{log}.read"] == 0:
            raise DataError(
                f"the files of {log} hold no record, expected at least one: check how"
                " the log is written, and 'path' in the job file"
            )
    rejected = target.with_name(f"{target.name}.dead_letters")
    try:
        check_share(
            list(plan.fields), counters, dead, limits.max_share, folder / "dead_letters"
        )
    except DataError as error:
        # The folder in the making is removed; the letters are what the user needs.
        shutil.rmtree(rejected, ignore_errors=True)
        shutil.copytree(folder / "dead_letters", rejected)
        message = str(error).replace(str(folder / "dead_letters"), str(rejected))
        raise DataError(message) from None
    # On a single day all windows may be open, and every row outside of the split.
    if counters[f"{IMPRESSIONS}.kept"] == 0 and plan.day is None:
        raise DataError(
            "no impression became an example:"
            f" {_losses(counters)}. Check the split's times and the labels' windows"
        )


def _losses(counters: Counter[str]) -> str:
    names = ("read", "duplicates", "withheld", "outside_split", "dropped_by_sampling")
    return ", ".join(f"{n} {counters[f'{IMPRESSIONS}.{n}']:,}" for n in names)


def _is_of_another_unit(first: int, last: int) -> bool:
    """Whether times in milliseconds are rather seconds of the years 2001 to 2039, or
    lie beyond 2100. Small numbers may be row numbers in place of times."""
    return 1_000_000_000 <= first <= last < 2_200_000_000 or first > 4_102_444_800_000


def _warnings(job: Job, manifest: Manifest) -> Iterator[str]:
    train = manifest.splits["train"]
    yield from table_warnings(manifest)
    for name, split in manifest.splits.items():
        if split.rows == 0 and manifest.day is None:
            yield f"the {name} split is empty: check preprocessing.split"
        first, last = split.first_time, split.last_time
        if first is not None and last is not None and _is_of_another_unit(first, last):
            yield (
                f"the times of the {name} split run from {first} to {last} ms since"
                f" 1970, and look like another unit: set ids.time.unit, which is"
                f" {job.ids.time.unit!r}"
            )
    for label, positives in train.positives.items():
        if train.rows and positives in (0, train.rows):
            what = "0" if positives == 0 else "1"
            yield (
                f"label {label!r} is {what} in all {train.rows:,} training rows, so"
                " nothing can be learned about it: check its log, the window"
                " (labels), the ids and the split"
            )
