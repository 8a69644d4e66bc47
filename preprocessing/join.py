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

__all__ = [
    "ANSWERED",
    "Joined",
    "first_events",
    "first_impressions",
    "join_labels",
    "resolve_events",
]

ANSWERED = "answered"
"""Column of resolved events in a daily run: the key that they had."""

_NEVER = np.iinfo(np.int64).max


@dataclass(kw_only=True)
class Joined:
    """What became of a bucket.

    Attributes:
        labels: 0/1 for each impression, [N, labels] int8.
        withheld: which impressions' windows are still open, [N].
        orphans: events without impression, by label.
        counters: by the name after the log's (`joined`, `outside_window`, ...), by
            label.
    """

    labels: npt.NDArray[np.int8]
    withheld: npt.NDArray[np.bool_]
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
) -> Joined:
    """Labels the impressions of a bucket.

    Args:
        job: names labels and windows.
        ids: text of the impressions' ids, distinct, [N].
        times: of the impressions, in milliseconds, [N].
        given: labels that the impression log holds, by label, [N] each.
        events: events that count, by label; `key` names an impression.
        last_time: of all events and impressions of the logs, in milliseconds.
        decided: in a daily run, which impressions were done with on earlier days, [N].
    """
    windows = [
        duration_ms(label.window) for label in job.labels.values() if label.window
    ]
    withheld = times + max(windows, default=0) > last_time
    if not windows and decided is None:
        withheld[:] = False
    result = Joined(
        labels=np.zeros((len(times), len(job.labels)), np.int8), withheld=withheld
    )
    account = _Account(decided=decided, last_time=last_time)
    first_time: dict[str, npt.NDArray[np.int64]] = {}
    for position, (name, label) in enumerate(job.labels.items()):
        if label.column is not None:
            first = np.where(given[name] == 1, times, _NEVER)
        else:
            after = None if label.after is None else first_time[label.after]
            first = _first_times(
                result,
                name,
                duration_ms(label.window),
                ids,
                times,
                events,
                after,
                account,
            )
        if label.column is not None and label.after is not None:
            first = np.where(first_time[label.after] < _NEVER, first, _NEVER)
        first_time[name] = first
        result.labels[:, position] = first < _NEVER
    return result


@dataclass(frozen=True, kw_only=True)
class _Account:
    """Says which events are counted now.

    Attributes:
        decided: in a daily run, which impressions were done with on earlier days.
        last_time: what is later is left to the next day.
    """

    decided: npt.NDArray[np.bool_] | None
    last_time: int

    def of(
        self,
        counters: Counter[str],
        rows: npt.NDArray[np.int64],
        moments: npt.NDArray[np.int64],
        states: npt.NDArray[np.int8],
        open_window: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Returns which events are done with now, and which come too late for their
        impressions; counts those that are withheld."""
        if self.decided is None:
            counters["withheld"] += int(open_window.sum())
            return np.ones(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
        waiting = open_window | (moments > self.last_time)
        return ~waiting & ((states & DECIDED) == 0), self.decided[rows]


def _first_times(
    result: Joined,
    name: str,
    window: int,
    ids: pa.Array,
    times: npt.NDArray[np.int64],
    events: dict[str, pa.Table],
    after: npt.NDArray[np.int64] | None,
    account: "_Account",
) -> npt.NDArray[np.int64]:
    """Returns the time of each impression's first event that counts."""
    first = np.full(len(times), _NEVER, np.int64)
    counters = result.counters.setdefault(name, Counter())
    if name not in events:
        return first
    found = pc.index_in(events[name]["key"], ids)
    orphans = events[name].filter(found.is_null())
    if orphans.num_rows:
        result.orphans[name] = orphans
    rows = found.drop_null().to_numpy()
    moments = events[name]["time"].filter(found.is_valid()).to_numpy()
    open_window = result.withheld[rows]
    states = state_of(events[name].filter(found.is_valid()))
    final, too_late = account.of(counters, rows, moments, states, open_window)
    delay = moments - times[rows]
    inside = (delay >= 0) & (delay <= window)
    counters["outside_window"] += int((~inside & ~open_window & final).sum())
    counted = inside & ~open_window
    counters["too_late"] += int((counted & final & too_late).sum())
    final &= ~too_late
    if after is not None:
        follows = moments >= after[rows]
        counters["not_after"] += int((counted & ~follows & final).sum())
        counted &= follows
    counters["joined"] += int((counted & final).sum())
    np.minimum.at(first, rows[counted], moments[counted])
    return first
