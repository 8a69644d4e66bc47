"""A daily run, or a micro-batch of a stream: how far it closes windows, and what has
been done with a record before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.durations import duration_ms
from configs.histories import built_sequences
from configs.job import Job
from preprocessing.settled import Settled

__all__ = [
    "BEHAVED",
    "DECIDED",
    "SEEN",
    "STATE",
    "STORED",
    "TOLD",
    "Day",
    "longest_gap",
    "longest_window",
    "remembered",
    "state_of",
    "with_state",
]

STATE = "state"
"""Column of narrow impressions and events in daily runs, int8: the sum of these."""
DECIDED = 1
"""Its fate has been counted, on this day or an earlier one."""
BEHAVED = 2
"""Of an event: it is among the behaviours."""
STORED = 4
"""In a stream: it lies in a segment (`preprocessing.settled`), and is not to be carried
again."""

SEEN = 8
"""In a stream whose labels come late: its first row has left."""

TOLD = "told"
"""Column of narrow impressions in a stream, int64: the labels that the row's example
(where labels come late, its last one) says are 1, label n as 1 << n. 0 until it has
left."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A daily run, or a micro-batch.

    Attributes:
        name: of the day, as 2017-10-01; or number of the micro-batch.
        closing: impressions are done with if their windows end by then, ms. In a stream
            the watermark: that of the micro-batch before, until all blocks are split.
        memory: how long they and their events are known after that, ms.
        carried: the carry-over of the day before, None on the first day.
        digest: of that carry-over.
        carries: folder for the carry-over of this day.
        settled: in a stream, what it is done with; else None. Where there is one an
            impression leaves as soon as its labels are decided.
        newest: in a stream, the latest time that each file's partition held before, by
            path.
        before: in a stream, the watermark of the micro-batch before; None at first.
    """

    name: str
    closing: int
    memory: int
    carried: str | None
    digest: str | None
    carries: str
    settled: Settled | None = None
    newest: Mapping[str, int] = field(default_factory=dict)
    before: int | None = None

    def folder(self, name: str) -> Path:
        """Returns a folder of this day's carry-over, made where absent."""
        path = Path(self.carries) / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def longest_window(job: Job) -> int:
    """Returns the longest label window, ms."""
    windows = [label.window for label in job.labels.values()]
    return max((duration_ms(w) for w in windows if w is not None), default=0)


def longest_gap(job: Job) -> int:
    """Returns the longest gap of a built sequence, ms."""
    gaps = [duration_ms(feature.gap) for feature in built_sequences(job).values()]
    return max(gaps, default=0)


def state_of(table: pa.Table) -> npt.NDArray[np.int8]:
    """Returns the states of narrow impressions or events; 0 where there are none."""
    if STATE not in table.column_names:
        return np.zeros(table.num_rows, np.int8)
    states: npt.NDArray[np.int8] = table[STATE].to_numpy()
    return states


def with_state(table: pa.Table, state: npt.NDArray[np.int8]) -> pa.Table:
    """Returns a table with other states."""
    place = table.schema.get_field_index(STATE)
    return table.set_column(place, STATE, pa.array(state, pa.int8()))


def remembered(times: Any, day: Day) -> npt.NDArray[np.bool_]:
    """Returns which times lie so late that what has them is to be known again."""
    values: npt.NDArray[np.int64] = np.asarray(times)
    return values > day.closing - day.memory
