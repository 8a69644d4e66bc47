"""Which columns, or which other logs, give impressions their labels."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.data import ROW_NUMBER
from preprocessing.planning.columns import Column
from preprocessing.planning.identifiers import (
    Ids,
    Moment,
    find_moments,
    unique_ids,
)
from preprocessing.planning.sample import Sample
from preprocessing.planning.wording import (
    event_rank,
    label_of_log,
    label_rank,
    time_rank,
    words_of,
)

__all__ = ["EventGuess", "Outcome", "event_logs", "label_columns", "nest"]

_Known = dict[str, tuple[str, pa.Array, npt.NDArray[np.int64]]]
"""Ids that events can answer, by what they are of: their column, the ids, and the row
of the impression of each."""

_MATCHED = 0.2
"""Share of an event log's keys that must be ids of impressions: both are samples."""


@dataclass(kw_only=True)
class EventGuess:
    """How a log of events joins.

    Attributes:
        sample: of the log.
        event: column of the event's own id, or `$row`.
        key: column that names what the event answers.
        time: of the event.
        joins: `impression`, or the label whose events `key` names.
        matched: share of the keys in the sample that were found.
        rows: row of the impression of each event, -1 where not found, [events].
        times: of the events in ms, [events].
    """

    sample: Sample
    event: str
    key: str
    time: Moment
    joins: str
    matched: float
    rows: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]


@dataclass(kw_only=True)
class Outcome:
    """A label.

    Attributes:
        name: of the label.
        column: of the impression log that holds it, or None.
        log: of events that give it, or None.
        values: 0 or 1, [rows of the sample].
        certain: whether the name tells that it is a label.
        after: the label that has to be 1 too, if it always was.
        truth: column with the true probability.
    """

    name: str
    values: npt.NDArray[np.float64]
    column: str | None = None
    log: EventGuess | None = None
    certain: bool = True
    after: str | None = None
    truth: str | None = None
    window: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def positives(self) -> int:
        """Rows of the sample with label 1."""
        return int(self.values.sum())

    @property
    def rate(self) -> float:
        """Share of the sample's rows with label 1."""
        return float(self.values.mean()) if len(self.values) else 0.0


def label_columns(columns: dict[str, Column], *, guess: bool) -> list[Outcome]:
    """Returns the columns that are labels, in the order of the funnel.

    Args:
        columns: of the impression log.
        guess: whether to take a column of zeros and ones whose name tells nothing, if
            no name tells.
    """
    binary = {}
    for name, column in columns.items():
        truth = column.truth if column.usable and column.lists is None else None
        if truth is not None and 0 < truth.sum() < len(truth):
            binary[name] = truth
    ranks = {name: label_rank(name) for name in binary}
    found = {name: rank for name, rank in ranks.items() if rank is not None}
    certain = bool(found)
    if not found and guess and binary:
        first = next(iter(columns))
        name = first if first in binary else list(binary)[-1]
        found = {name: 1}
    outcomes: list[Outcome] = []
    for name in sorted(found, key=lambda name: found[name]):
        taken = {outcome.name for outcome in outcomes}
        label = _label_name(name, found[name])
        outcomes.append(
            Outcome(
                name=label if label not in taken else f"{label}_{len(taken) + 1}",
                column=name,
                values=binary[name],
                certain=certain,
            )
        )
    return outcomes


def event_logs(
    columns: dict[str, Column], ids: Ids, logs: list[tuple[Sample, dict[str, Column]]]
) -> tuple[list[Outcome], list[str]]:
    """Returns the labels that other logs give, and the names of logs that give none."""
    outcomes: list[Outcome] = []
    unused = []
    shown = columns[ids.event]
    known: _Known = {"impression": (ids.event, shown.texts, np.arange(len(shown)))}
    order = sorted(logs, key=lambda log: event_rank(log[0].source.name))
    for sample, events in order:
        label = label_of_log(sample.source.name)
        if label in {outcome.name for outcome in outcomes}:
            label = f"{label}_{len(outcomes) + 1}"
        guess = _event_log(sample, events, known)
        if guess is None:
            unused.append(sample.source.name)
            continue
        values = np.zeros(len(shown))
        values[guess.rows[guess.rows >= 0]] = 1.0
        outcomes.append(Outcome(name=label, values=values, log=guess))
        if guess.event != ROW_NUMBER and guess.joins == "impression":
            known[label] = (guess.event, events[guess.event].texts, guess.rows)
    return outcomes, unused


def nest(outcomes: list[Outcome]) -> None:
    """Finds out which labels are 1 only where an earlier one is."""
    for place, outcome in enumerate(outcomes):
        for earlier in reversed(outcomes[:place]):
            ones = outcome.values > 0
            inside = float(earlier.values[ones].mean()) if ones.any() else 0.0
            joined = outcome.log is not None and outcome.log.joins == earlier.name
            exact = outcome.column is not None
            if joined or inside >= (1.0 if exact else 0.9):
                if outcome.positives < earlier.positives or joined:
                    outcome.after = earlier.name
                    break


def _label_name(column: str, rank: int) -> str:
    if rank == 0:
        return "click"
    return label_of_log(column) if rank == 2 else "_".join(words_of(column)) or "label"


def _event_log(
    sample: Sample,
    columns: dict[str, Column],
    known: _Known,
) -> EventGuess | None:
    moments = [m for m in find_moments(columns) if columns[m.column].present.all()]
    moments.sort(key=lambda moment: (not moment.certain, time_rank(moment.column)))
    if not moments:
        return None
    best: tuple[float, str, str, npt.NDArray[np.int64]] | None = None
    for joins, (own_name, texts, rows) in known.items():
        for name, column in columns.items():
            if (
                column.lists is not None
                or not column.usable
                or name == (moments[0].column)
            ):
                continue
            places = pc.index_in(column.texts, value_set=texts).fill_null(-1)
            found = np.asarray(places, np.int64)
            matched = float((found >= 0).mean())
            score = matched + (name == own_name)
            if matched >= _MATCHED and (best is None or score > best[0] + 0.05):
                hit = np.where(found >= 0, rows[np.maximum(found, 0)], -1)
                best = (score, joins, name, hit)
    if best is None:
        return None
    _, joins, key, rows = best
    own = [name for name in unique_ids(columns) if name != key]
    own.sort(key=lambda name: label_of_log(name) != label_of_log(sample.source.name))
    return EventGuess(
        sample=sample,
        event=own[0] if own else ROW_NUMBER,
        key=key,
        time=moments[0],
        joins=joins,
        matched=float((rows >= 0).mean()),
        rows=rows,
        times=columns[moments[0].column].times(moments[0].unit),
    )
