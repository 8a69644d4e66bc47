"""From logs to the draft of a job: everything that was found and proposed, in order."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from configs.data import ROW_NUMBER
from configs.durations import DAY_MS, duration_ms
from configs.errors import DataError
from preprocessing.planning.beside import Beside, find_beside
from preprocessing.planning.columns import Column, columns_of
from preprocessing.planning.delays import DelayCurve, delay_curve
from preprocessing.planning.features import propose_features
from preprocessing.planning.identifiers import Ids, find_ids
from preprocessing.planning.outcomes import Outcome, event_logs, label_columns, nest
from preprocessing.planning.proposals import Proposal
from preprocessing.planning.sample import Sample
from preprocessing.planning.sizes import (
    TimeRange,
    batch_size,
    keep_rate,
    sampled_rate,
    split_moments,
    window_for,
)
from preprocessing.planning.wording import event_rank, words_of

__all__ = ["Draft", "NoLabel", "Sizes", "make_draft"]


class NoLabel(DataError):
    """Raised when no label can be found in a log.

    Attributes:
        sample: of the log.
        columns: of the log.
        ids: of the log.
        alone: whether there are no other logs, which could have given one.
    """

    def __init__(
        self,
        message: str,
        sample: Sample,
        columns: dict[str, Column],
        ids: Ids,
        *,
        alone: bool,
    ) -> None:
        super().__init__(message)
        self.sample, self.columns, self.ids = sample, columns, ids
        self.alone = alone


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What follows from rates and times.

    Attributes:
        rate: of the first label in the sample.
        keep_rate: of negatives.
        sampled_rate: of the first label among training rows.
        training_rows: about how many there will be.
        batch_size: of training.
        split: moments where training ends and testing begins, None to split by hash.
    """

    rate: float
    keep_rate: float
    sampled_rate: float
    training_rows: int
    batch_size: int
    split: tuple[int, int] | None


@dataclass(kw_only=True)
class Draft:
    """What a job file is written from.

    Attributes:
        sample: of the impressions.
        renamed: columns of a log without a header line, in order, else None.
        columns: of the impressions.
        ids: of the impressions.
        range: of their times, None without times.
        outcomes: the labels, in the order of the funnel.
        curves: of the labels whose delays can be seen.
        features: what becomes of each column.
        sizes: see there.
        beside: logs that give no label, and yet features.
        unused: other logs.
        alike: logs with the columns of the impressions: more of them, perhaps.
    """

    sample: Sample
    renamed: list[str] | None
    columns: dict[str, Column]
    ids: Ids
    range: TimeRange | None
    outcomes: list[Outcome]
    curves: dict[str, DelayCurve] = field(default_factory=dict)
    features: list[Proposal] = field(default_factory=list)
    sizes: Sizes
    beside: list[Beside] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)

    @property
    def proposed(self) -> dict[str, dict[str, Any]]:
        """The features that are not left out, by name."""
        return {f.name: f.definition for f in self.features if f.definition}


def make_draft(samples: list[Sample]) -> Draft:
    """Looks at the samples of all logs and proposes a job.

    Raises:
        DataError: if no label can be found, or nothing that could be a feature.
    """
    logs = [(sample, columns_of(sample)) for sample in samples]
    (sample, columns), *others = sorted(logs, key=_likeness)
    renamed = _rename(columns) if sample.headless else None
    columns = {column.name: column for column in columns.values()}
    outcomes, ids, rest = _outcomes(sample, columns, others)
    alike = [log.source.name for log, own in rest if _are_alike(own, columns)]
    others = [log for log in rest if log[0].source.name not in alike]
    beside = find_beside(columns, ids, others)
    range_ = _range(sample, columns, ids)
    days = 0.0 if range_ is None else range_.span / DAY_MS
    curves = _curves(columns, ids, outcomes, range_)
    for outcome in outcomes:
        if outcome.log is not None:
            span = range_.span if range_ is not None else 0
            outcome.window = window_for(curves.get(outcome.name), span)
    features = propose_features(columns, ids, outcomes, beside, days)
    if not any(feature.definition for feature in features):
        raise DataError(
            f"{sample.source.pattern}: no column could be a feature. Columns found:"
            f" {', '.join(columns)}"
        )
    definitions = [feature.definition or {} for feature in features]
    named = {d.get("table") for d in definitions} | {d.get("from") for d in definitions}
    beside = [log for log in beside if log.name in named]
    used = {log.sample.source.name for log in beside}
    return Draft(
        sample=sample,
        renamed=renamed,
        columns=columns,
        ids=ids,
        range=range_,
        outcomes=outcomes,
        curves=curves,
        features=features,
        sizes=_sizes(sample, outcomes, range_),
        beside=beside,
        unused=[n for n in (s.source.name for s, _ in others) if n not in used],
        alike=alike,
    )


_TEST_WORDS = ("test", "valid", "validation", "val", "eval", "holdout")

_Log = tuple[Sample, dict[str, Column]]


def _are_alike(own: dict[str, Column], columns: dict[str, Column]) -> bool:
    """Whether two logs have nearly the same columns."""
    return len(own.keys() & columns.keys()) >= 0.8 * len(own.keys() | columns.keys())


def _likeness(log: _Log) -> tuple[bool, bool, bool, int, int]:
    """Orders logs by how much they are like impressions to learn from: by name, by a
    label of their own, by how little their names are those of test sets or of events,
    by columns."""
    sample, columns = log
    rank = event_rank(sample.source.name)
    labeled = bool(label_columns(columns, guess=False))
    kept = any(word in _TEST_WORDS for word in words_of(sample.source.name))
    return rank != 0, not labeled, kept, rank % 3, -sample.table.num_columns


def _outcomes(
    sample: Sample, columns: dict[str, Column], others: list[_Log]
) -> tuple[list[Outcome], Ids, list[_Log]]:
    """Returns the labels, the ids of the impressions, and the logs that give no label.

    Raises:
        NoLabel: if there is no label.
    """
    outcomes = label_columns(columns, guess=not others)
    ids = find_ids(columns, [o.column for o in outcomes if o.column])
    rest = others
    if others and ids.event != ROW_NUMBER:
        joined, unused = event_logs(columns, ids, others)
        outcomes = _merged(outcomes, joined)
        rest = [log for log in others if log[0].source.name in unused]
    outcomes = outcomes or label_columns(columns, guess=True)
    if not outcomes:
        message = _no_label(sample, [other for other, _ in others])
        raise NoLabel(message, sample, columns, ids, alone=not others)
    nest(outcomes)
    return outcomes, ids, rest


def _rename(columns: dict[str, Column]) -> list[str]:
    """Names the columns of a log without a header line by what they hold: the first
    one of zeros and ones `label`, numbers I1, I2 and so on, other values C1, C2."""
    named: list[str] = []
    numbers = categories = 0
    for column in columns.values():
        if "label" not in named and column.truth is not None:
            name = "label"
        elif column.numbers is not None or not column.present.any():
            numbers += 1
            name = f"I{numbers}"
        else:
            categories += 1
            name = f"C{categories}"
        column.name = name
        named.append(name)
    return named


def _merged(columns: list[Outcome], logs: list[Outcome]) -> list[Outcome]:
    """Joins the labels of columns and of logs; a log says more than a column."""
    joined = {outcome.name for outcome in logs}
    return [*(c for c in columns if c.name not in joined and c.certain), *logs]


def _range(sample: Sample, columns: dict[str, Column], ids: Ids) -> TimeRange | None:
    if ids.time is None:
        return None
    times = np.sort(columns[ids.time.column].times(ids.time.unit))
    first, last = int(times[0]), int(times[-1])
    if sample.last.num_rows and ids.time.column in sample.last.column_names:
        tail = Column(
            ids.time.column,
            sample.last[ids.time.column].combine_chunks(),
            columns[ids.time.column].from_text,
            0,
            True,
        )
        last = max(last, int(tail.times(ids.time.unit).max()))
    known = sample.complete or last > int(times[-1]) or len(sample.source.files) > 1
    return TimeRange(times, first, last, known)


def _curves(
    columns: dict[str, Column],
    ids: Ids,
    outcomes: list[Outcome],
    range_: TimeRange | None,
) -> dict[str, DelayCurve]:
    if ids.time is None or range_ is None:
        return {}
    shown = columns[ids.time.column].times(ids.time.unit)
    curves = {}
    for outcome in outcomes:
        if outcome.log is not None:
            log = outcome.log
            found = log.rows >= 0
            start = shown[log.rows[found]]
            end = int(log.times.max()) if len(log.times) else 0
            delays, limits = log.times[found] - start, end - start
        else:
            times = _own_times(columns, ids, outcome)
            if times is None:
                continue
            found = times > np.iinfo(np.int64).min
            delays, start = times[found] - shown[found], shown[found]
            limits = np.maximum(int(times[found].max()) - start, delays)
        curve = delay_curve(delays, limits)
        if curve is not None:
            curves[outcome.name] = curve
    return curves


def _own_times(
    columns: dict[str, Column], ids: Ids, outcome: Outcome
) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Returns when a label of a column came, if another column tells: it is filled in
    where the label is 1."""
    for moment in ids.moments:
        column = columns[moment.column]
        if moment == ids.time or column.present.all() or outcome.positives < 10:
            continue
        agree = float((column.present == (outcome.values > 0)).mean())
        share = float(column.present[outcome.values > 0].mean())
        if agree > 0.99 and share > 0.9:
            outcome.notes.append(f"its time is in the column {moment.column}")
            return column.times(moment.unit)
    return None


def _sizes(sample: Sample, outcomes: list[Outcome], range_: TimeRange | None) -> Sizes:
    first = outcomes[0]
    nested = all(outcome.after == first.name for outcome in outcomes[1:])
    training = int(sample.rows * 0.8)
    kept = keep_rate(sample.rows, first.rate) if nested else 1.0
    left = int(training * (first.rate + kept * (1.0 - first.rate)))
    rate = sampled_rate(first.rate, kept)
    window = max(
        (duration_ms(o.window) for o in outcomes if o.window is not None), default=0
    )
    return Sizes(
        rate=first.rate,
        keep_rate=kept,
        sampled_rate=rate,
        training_rows=left,
        batch_size=batch_size(rate, left),
        split=None if range_ is None else split_moments(range_, window),
    )


def _no_label(sample: Sample, others: list[Sample]) -> str:
    if others:
        names = ", ".join(other.source.pattern for other in others)
        return (
            f"{sample.source.pattern} looks like the impressions, but nothing in"
            f" {names} answers them: expected a column there whose values are ids of"
            " impressions, and a time. Check that the logs are of the same hours"
        )
    return (
        f"{sample.source.pattern} has no label: expected a column of 0 and 1 (click,"
        " say), or logs of clicks and conversions beside the impressions. A log of"
        " clicks alone has no negatives: `python -m preprocessing convert clicks` draws"
        " some"
    )
