"""Steps per second and CPU time of all systems at all sizes, in interleaved turns."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.training import shape
from benchmarks.training.rows import distinct_rows, write_rows
from benchmarks.training.workers import SYSTEMS, Measured, Worker, interleave

__all__ = ["Group", "Pace", "groups_within", "measure"]

REFERENCE = "ours"
"""In every group, so that every ratio is of turns in the same rounds."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long to measure.

    Attributes:
        rounds: turns of each system.
        seconds: of a turn.
        least_steps: of a turn.
        batches: in the files.
    """

    rounds: int
    seconds: float
    least_steps: int
    batches: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Systems that were measured in the same rounds.

    Attributes:
        size: name of the number of rows.
        cached: whether without loader and files.
        distinct: table rows that a batch has on average.
        results: by short name; the reference is among them.
    """

    size: str
    cached: bool
    distinct: float
    results: dict[str, Measured]


def measure(
    folder: Path,
    names: Sequence[str],
    size: str,
    *,
    pace: Pace,
    mebibytes: float,
    cached: bool = False,
) -> list[Group]:
    """Measures systems at one size.

    Args:
        folder: for rows.
        names: of the systems.
        size: of `shape.SIZES`.
        pace: how long.
        mebibytes: memory that systems may hold together; where all do not fit, they are
            measured in groups, each with the reference.
        cached: train on batches made beforehand.
    """
    total = shape.SIZES[size]
    place = folder / f"rows-{pace.batches}" / size
    write_rows(place, total, batches=pace.batches)
    distinct = distinct_rows(place)
    groups = []
    for members in groups_within(names, total, mebibytes):
        shown = ", ".join(members)
        print(f"{size}{', cached' * cached}: {shown}", file=sys.stderr, flush=True)
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(
                    Worker(SYSTEMS[name], place, total, cached=cached)
                )
                for name in members
            }
            results = interleave(
                workers,
                rounds=pace.rounds,
                seconds=pace.seconds,
                least_steps=pace.least_steps,
            )
        groups.append(
            Group(size=size, cached=cached, distinct=distinct, results=results)
        )
    return groups


def groups_within(
    names: Sequence[str], total: int, mebibytes: float
) -> list[list[str]]:
    """Divides systems into groups that fit memory together, the reference in each."""
    own = SYSTEMS[REFERENCE].needs(total)
    groups: list[list[str]] = []
    left = 0.0
    for name in names:
        if name == REFERENCE:
            continue
        needed = SYSTEMS[name].needs(total)
        if not groups or needed > left:
            groups.append([REFERENCE])
            left = mebibytes - own
        groups[-1].append(name)
        left -= needed
    return groups or [[REFERENCE]]
