"""The good records of a block, and an account of the others."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from preprocessing.blocks import Block
from preprocessing.day import Day
from preprocessing.dead_letters import dead_name, keep_letters
from preprocessing.normalize import REASON, RECORD
from preprocessing.plan import Plan, column_array
from preprocessing.reading import read_block
from preprocessing.reasons import REASONS

__all__ = ["PIECES", "Account", "good_rows"]

PIECES = 1 << 20
"""Pieces that a block or a bucket can have at most."""


@dataclass(kw_only=True)
class Account:
    """What became of the records of a block.

    Attributes:
        counters: by name.
        dead: dead records, by `dead_name`.
        letters: these records, by the same.
        newest: in a stream, the latest time of the good ones and of those that their
            partition held before, ms.
    """

    counters: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    letters: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    newest: int | None = None

    def leave(self, plan: Plan, block: Block) -> None:
        """Writes the summary and the dead letters of `block`."""
        max_kept = plan.job.preprocessing.dead_letters.max_kept
        keep_letters(plan.scratch, f"block-{block.number:08}", self.letters, max_kept)
        plan.scratch.write_json(
            "summaries",
            f"split-{block.number:08}",
            {
                "log": block.file.log,
                "counters": self.counters,
                "dead": self.dead,
                "newest": self.newest,
            },
        )

    def note_times(self, day: Day, block: Block, times: npt.NDArray[np.int64]) -> None:
        """Counts the records of a stream that come after newer ones of their partition,
        and those that come after the watermark."""
        if self.newest is None:
            self.newest = day.newest.get(block.file.path)
        running = np.maximum.accumulate(times)
        first = times[0] if self.newest is None else self.newest
        before = np.maximum(np.append(first, running[:-1]), first)
        name = f"streams.{block.file.log}"
        self.counters[f"{name}.out_of_order"] += int((times < before).sum())
        self.counters[f"{name}.late"] += int((times <= day.closing).sum())
        self.newest = int(max(running[-1], first))


def good_rows(
    plan: Plan, block: Block, account: Account
) -> Iterator[tuple[int, pa.Table]]:
    """Reads a block.

    Args:
        plan: of the run.
        block: to be read.
        account: is added to.

    Yields:
        For each piece with good records a number that ascends in the order of reading,
        over all blocks, and their fields.
    """
    log = block.file.log
    for piece, table in enumerate(read_block(block, plan.fields[log])):
        account.counters[f"{log}.read"] += table.num_rows
        good = _without_dead(block, table, account)
        if good.num_rows:
            yield block.number * PIECES + piece, good


def _without_dead(block: Block, table: pa.Table, account: Account) -> pa.Table:
    reasons = column_array(table, REASON).to_numpy()
    bad = reasons != 0
    if bad.any():
        rejected = table.select([REASON, RECORD]).filter(pa.array(bad))
        for code, record in zip(
            rejected[REASON].to_pylist(), rejected[RECORD].to_pylist(), strict=True
        ):
            name = dead_name(block.file.log, REASONS[code])
            account.dead[name] += 1
            account.letters.setdefault(name, []).append(
                {"reason": REASONS[code], "file": block.file.path, "record": record}
            )
        table = table.filter(pa.array(~bad))
    return table.drop_columns([REASON, RECORD]).combine_chunks()
