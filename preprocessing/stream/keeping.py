"""From what the stages left in the work folder to the state of a micro-batch."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from preprocessing.day import Day, longest_window
from preprocessing.fields import behaviour_log_name
from preprocessing.histories import in_order
from preprocessing.history_stage import SETTLED_BEHAVIOURS, needed_behaviours
from preprocessing.plan import Plan
from preprocessing.stream.segments import (
    Segment,
    merge_files,
    merge_segments,
    write_segment,
)
from preprocessing.stream.state import Commit, State
from preprocessing.stream.watermark import BEGINNING
from preprocessing.stream.wide import compact_rows

__all__ = ["keep_state"]


def keep_state(
    state: State, before: Commit | None, plan: Plan, commit: Commit
) -> Commit:
    """Brings the files of a micro-batch into the folder of the state.

    Files of the commit before stay where they are; new ones have names of their own, so
    until the commit is written nothing has changed.

    Args:
        state: of the stream.
        before: the commit that it goes on from.
        plan: of the micro-batch, with its day as it was closed.
        commit: of the micro-batch, without files.

    Returns:
        The commit with its files.
    """
    carried = _keep_carry(state, commit.batch)
    rows = _keep_rows(state, before, plan, commit.batch)
    segments = _keep_segments(state, before, plan, commit.batch)
    paths = [*carried, *(state.rows(number) for number in rows)]
    paths += [state.root / s.path for found in segments.values() for s in found]
    unchanged = {
        name: digest
        for name, digest in ({} if before is None else before.digests).items()
        if not name.startswith("carry/")
    }
    return dataclasses.replace(
        commit,
        rows=rows,
        segments=segments,
        digests=state.digests(paths, unchanged),
    )


def _keep_carry(state: State, batch: int) -> list[Path]:
    """Joins the files of what may still change, one for each kind."""
    source, target = state.work / "carry", state.carry(batch)
    parts: dict[Path, list[str]] = {}
    for path in sorted(source.rglob("*.arrow")):
        parts.setdefault(path.parent.relative_to(source), []).append(str(path))
    for folder, paths in parts.items():
        merge_files(paths, target / folder / "all.arrow")
    return [target / folder / "all.arrow" for folder in parts]


def _keep_rows(
    state: State, before: Commit | None, plan: Plan, batch: int
) -> dict[int, int]:
    """Keeps the encoded features of open impressions; returns the files' rows."""
    opened = state.carry(batch) / "open" / "all.arrow"
    if not opened.is_file():
        return {}
    known = {} if before is None else before.rows
    files = {n: (str(state.rows(n)), count) for n, count in known.items()}
    for path in plan.scratch.folder("rows").glob("*.arrow"):
        files[int(path.stem)] = (str(path), _count(path))
    target = state.rows(0).parent
    kept = compact_rows(opened, files, target, batch)
    target.mkdir(exist_ok=True)
    for number, (path_, _) in kept.items():
        if Path(path_) != state.rows(number):
            os.replace(path_, state.rows(number))
    return {number: count for number, (_, count) in sorted(kept.items())}


def _keep_segments(
    state: State, before: Commit | None, plan: Plan, batch: int
) -> dict[str, list[Segment]]:
    """Adds a segment of each kind, and keeps them few."""
    if plan.day is None:
        raise TypeError("a micro-batch has a day")
    found = {} if before is None else dict(before.segments)
    source = state.work / "settled"
    for folder in sorted(source.glob("*")):
        found.setdefault(folder.name, [])
    kept = {}
    for kind, segments in sorted(found.items()):
        oldest, trim = _still_needed(plan, plan.day, kind)
        parts = [str(path) for path in sorted((source / kind).glob("*.arrow"))]
        new = None
        if parts:
            path = f"settled/{kind}/{batch:08}.arrow"
            new = write_segment(state.root, path, parts, oldest)
        segments = [*segments, *([] if new is None else [new])]
        kept[kind] = merge_segments(
            state.root, f"settled/{kind}", segments, oldest, trim
        )
    return {kind: left for kind, left in kept.items() if left}


def _still_needed(
    plan: Plan, day: Day, kind: str
) -> tuple[int, Callable[[pa.Table], pa.Table] | None]:
    """Returns the time up to which rows of a kind need not be known, and what leaves
    out others that need not."""
    source = kind.removeprefix(SETTLED_BEHAVIOURS)
    if source != kind:  # a user's last ones are needed, however old
        return BEGINNING, lambda table: needed_behaviours(
            plan.job, day, source, in_order(table)
        )
    own = kind.startswith(behaviour_log_name(""))
    return day.closing - day.memory - (0 if own else longest_window(plan.job)), None


def _count(path: Path) -> int:
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        return sum(file.get_batch(n).num_rows for n in range(file.num_record_batches))
