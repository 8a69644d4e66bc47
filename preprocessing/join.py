"""Joins labels to impressions: pure functions over the Arrow tables of one bucket.

The rules: of records with one id the earliest counts, ties by content. An event counts
for its label if 0 <= t - t_impression <= window, and, for a label `after` another one,
if that one is 1 and its first event is not later. An impression whose longest window
passes the end of the logs is withheld.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.durations import duration_ms
from configs.job import Job
from preprocessing.day import DECIDED, STATE, state_of
from preprocessing.observations import NEVER, Known, Observations, observations

__all__ = [
    "ANSWERED",
    "Joined",
    "Late",
    "first_events",
    "first_impressions",
    "join_labels",
    "resolve_events",
]

ANSWERED = "answered"
"""Column of resolved events in a daily run: the key that they had."""

_NEVER = NEVER


@dataclass(frozen=True, kw_only=True)
class Late:
    """What a stream whose labels come late knows of its impressions.

    Attributes:
        observe: from an impression to its first row, ms.
        before: watermark of the micro-batch before, None at first.
        seen: whose first rows have left, [N].
    """

    observe: int
    before: int | None
    seen: npt.NDArray[np.bool_]


@dataclass(kw_only=True)
class Joined:
    """What became of a bucket.

    Attributes:
        labels: 0/1 for each impression, [N, labels] int8.
        withheld: which impressions' windows are still open, [N].
        orphans: events without impression, by label.
        counters: by the name after the log's (`joined`, `outside_window`, ...), by
            label.
        observed: the rows that leave, where labels come late; `labels` then are those
            that are known so far.
    """

    labels: npt.NDArray[np.int8]
    withheld: npt.NDArray[np.bool_]
    observed: Observations | None = None
    orphans: dict[str, pa.Table] = field(default_factory=dict)
    counters: dict[str, Counter[str]] = field(default_factory=dict)


def first_impressions(
    ids: pa.Array,
    times: npt.NDArray[np.int64],
    content: npt.NDArray[np.uint64],
    state: npt.NDArray[np.int8] | None = None,
) -> npt.NDArray[np.int64]:
    """Returns the rows that count, ascending: the earliest of each id, ties by content.

    Args:
        ids: text of the event ids, [N].
        times: in milliseconds, [N].
        content: hashes of the rows' content, [N].
        state: of the rows in a daily run; what was done with cannot be undone, so of
            one id the largest comes first.
    """
    codes = ids.dictionary_encode().indices.to_numpy()
    order = np.lexsort((content, times, codes))
    if state is not None:
        order = np.lexsort((content, times, -state, codes))
    first = np.ones(len(order), np.bool_)
    first[1:] = codes[order][1:] != codes[order][:-1]
    return np.sort(order[first])


def first_events(events: pa.Table) -> pa.Table:
    """Returns the events that count: the earliest of each id, ties by key, then by what
    else there is.

    Args:
        events: columns `event` (text), `time` and others. In a daily run an event of
            which something was made on an earlier day counts.
    """
    leading = ("event", "time", "key")
    others = sorted(set(events.column_names) - set(leading))
    names = [*(name for name in leading if name in events.column_names), *others]
    order = [(name, "ascending") for name in names]
    if STATE in names:
        order = [("event", "ascending"), (STATE, "descending"), *order[1:]]
    ordered = events.take(pc.sort_indices(events, sort_keys=order)).combine_chunks()
    ids = ordered["event"].combine_chunks().dictionary_encode()
    if isinstance(ids, pa.ChunkedArray):
        ids = ids.combine_chunks()
    codes = ids.indices.to_numpy()
    first = np.ones(len(codes), np.bool_)
    first[1:] = codes[1:] != codes[:-1]
    return ordered.filter(pa.array(first))


def resolve_events(events: pa.Table, targets: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Replaces keys that name another log's events by the impressions of those.

    Args:
        events: columns `event`, `key` and `time`; `key` names a target's `event`.
        targets: events that count, whose `key` names an impression.

    Returns:
        The events with their impression as `key` (in a daily run the old key is
        `ANSWERED`), and those whose key names no target.
    """
    position = pc.index_in(events["key"], targets["event"])
    found = position.is_valid()
    known = events.filter(found)
    if STATE in events.column_names:
        known = known.append_column(ANSWERED, known["key"])
    keys = targets["key"].take(position.drop_null())
    index = known.schema.get_field_index("key")
    return known.set_column(index, "key", keys), events.filter(pc.invert(found))


def join_labels(
    job: Job,
    ids: pa.Array,
    times: npt.NDArray[np.int64],
    given: dict[str, npt.NDArray[np.int8]],
    events: dict[str, pa.Table],
    last_time: int,
    decided: npt.NDArray[np.bool_] | None = None,
    told: npt.NDArray[np.bool_] | None = None,
    late: Late | None = None,
) -> Joined:
    """Labels the impressions of a bucket.

    Args:
        job: names labels and windows.
        ids: text of the impressions' ids, distinct, [N].
        times: of the impressions, in milliseconds, [N].
        given: labels that the impression log holds, by label, [N] each.
        events: events that count, by label; `key` names an impression.
        last_time: of all events and impressions of the logs, in milliseconds.
        decided: in a daily run or a stream, which impressions were done with before,
            [N].
        told: in a stream, which labels of these were 1, [N, labels]. There an
            impression waits no longer than for the last label that is open.
        late: of a stream whose labels come late.
    """
    first: dict[str, npt.NDArray[np.int64]] = {}
    answers: dict[str, _Answers] = {}
    for name, label in job.labels.items():
        after = None if label.after is None else first[label.after]
        if label.column is not None:
            first[name] = np.where(given[name] == 1, times, _NEVER)
            if after is not None:
                first[name][after == _NEVER] = _NEVER
            continue
        first[name] = np.full(len(times), _NEVER, np.int64)
        if name in events:
            found = _Answers.of(ids, times, events[name], duration_ms(label.window))
            answers[name] = found
            counts = found.inside & (found.moments <= last_time)
            if after is not None:
                counts &= found.moments >= after[found.rows]
            np.minimum.at(first[name], found.rows[counts], found.moments[counts])
    withheld = (
        _windows_open(job, times, last_time, decided)
        if told is None
        else _undecided(job, times, given, first, last_time)
    )
    if told is not None and decided is not None:
        # Of what is met again the events need not be known any more.
        withheld &= ~decided
    turned = np.stack([first[name] for name in job.labels], axis=1)
    result = Joined(labels=(turned < _NEVER).astype(np.int8), withheld=withheld)
    if late is not None and told is not None and decided is not None:
        known = Known(times=times, turned=turned, seen=late.seen | decided, told=told)
        observed = observations(job, known, late.observe, late.before, last_time)
        result.observed = observed
        result.withheld = withheld = ~(observed.done | decided)
        result.labels = observed.told.astype(np.int8)
    for name, found in answers.items():
        if found.orphans.num_rows:
            result.orphans[name] = found.orphans
        account = _Account(
            job, name, decided, told, withheld, last_time, result.observed
        )
        result.counters[name] = account.of(found, first)
    return result


def _windows_open(
    job: Job,
    times: npt.NDArray[np.int64],
    last_time: int,
    decided: npt.NDArray[np.bool_] | None,
) -> npt.NDArray[np.bool_]:
    """Returns which impressions' longest windows are open."""
    windows = [
        duration_ms(label.window) for label in job.labels.values() if label.window
    ]
    if not windows and decided is None:
        return np.zeros(len(times), np.bool_)
    withheld: npt.NDArray[np.bool_] = times + max(windows, default=0) > last_time
    return withheld


def _undecided(
    job: Job,
    times: npt.NDArray[np.int64],
    given: dict[str, npt.NDArray[np.int8]],
    first: dict[str, npt.NDArray[np.int64]],
    last_time: int,
) -> npt.NDArray[np.bool_]:
    """Returns which impressions have a label that may still change.

    A 1 stays one: all that lies before its event has arrived. A 0 stays one when its
    window ends, or when the label that it comes after stays 0.
    """
    undecided = times > last_time
    negative: dict[str, npt.NDArray[np.bool_]] = {}
    for name, label in job.labels.items():
        if label.column is not None:
            over = given[name] == 0 if label.after else np.ones(len(times), np.bool_)
        else:
            over = times + duration_ms(label.window) <= last_time
        if label.after is not None:
            over = over | negative[label.after]
        positive = first[name] < _NEVER
        negative[name] = ~positive & over
        undecided |= ~(positive | over)
    return undecided


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """The events of a label.

    Attributes:
        orphans: whose impressions are unknown.
        rows: impressions of the others, [M].
        moments: of these, [M].
        states: of these, [M].
        inside: whether they lie in the label's window, [M].
    """

    orphans: pa.Table
    rows: npt.NDArray[np.int64]
    moments: npt.NDArray[np.int64]
    states: npt.NDArray[np.int8]
    inside: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        ids: pa.Array,
        times: npt.NDArray[np.int64],
        events: pa.Table,
        window: int,
    ) -> "_Answers":
        """Looks for the impressions of events."""
        found = pc.index_in(events["key"], ids)
        known = events.filter(found.is_valid())
        rows = found.drop_null().to_numpy()
        moments = known["time"].to_numpy()
        delay = moments - times[rows]
        return cls(
            orphans=events.filter(found.is_null()),
            rows=rows,
            moments=moments,
            states=state_of(known),
            inside=(delay >= 0) & (delay <= window),
        )


@dataclass(frozen=True)
class _Account:
    """Counts what becomes of the events of a label; each once, when it is known.

    Attributes:
        job: names the labels.
        label: of the events.
        decided: in a daily run or a stream, which impressions were done with before.
        told: in a stream, which of their labels were 1.
        withheld: which impressions go on.
        last_time: what is later is left to the next day.
        observed: where labels come late.
    """

    job: Job
    label: str
    decided: npt.NDArray[np.bool_] | None
    told: npt.NDArray[np.bool_] | None
    withheld: npt.NDArray[np.bool_]
    last_time: int
    observed: Observations | None = None

    def of(
        self, events: _Answers, first: dict[str, npt.NDArray[np.int64]]
    ) -> Counter[str]:
        """Returns the counts by fate."""
        counters: Counter[str] = Counter()
        open_window = self.withheld[events.rows]
        final = np.ones(len(events.rows), np.bool_)
        if self.decided is None:
            counters["withheld"] += int(open_window.sum())
        else:
            final = ~open_window & (events.moments <= self.last_time)
            final &= (events.states & DECIDED) == 0
        final &= ~open_window
        counters["outside_window"] += int((~events.inside & final).sum())
        final &= events.inside
        follows = self._follows(events, first)
        too_late = final & self._too_late(events.rows, follows)
        counters["too_late"] += int(too_late.sum())
        final &= ~too_late
        if follows is not None:
            counters["not_after"] += int((final & ~follows).sum())
            final &= follows
        counters["joined"] += int(final.sum())
        return counters

    def _follows(
        self, events: _Answers, first: dict[str, npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.bool_] | None:
        """Returns which events come after those of the label that they have to."""
        after = self.job.labels[self.label].after
        if after is None:
            return None
        follows: npt.NDArray[np.bool_] = events.moments >= first[after][events.rows]
        if self.told is not None and self.decided is not None:
            told = self.told[:, list(self.job.labels).index(after)]
            rows = events.rows
            follows = np.where(self.decided[rows], told[rows], follows)
        return follows

    def _too_late(
        self, rows: npt.NDArray[np.int64], follows: npt.NDArray[np.bool_] | None
    ) -> npt.NDArray[np.bool_]:
        """Returns which events would have changed a label that was given before."""
        if self.decided is None:
            return np.zeros(len(rows), np.bool_)
        late: npt.NDArray[np.bool_] = self.decided[rows]
        if self.told is None:
            return late
        column = list(self.job.labels).index(self.label)
        late = late & ~self.told[rows, column]
        if follows is not None:
            late &= follows
        if self.observed is not None:
            late |= self.observed.too_late[rows, column]
        return late
