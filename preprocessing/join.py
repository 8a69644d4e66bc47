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

__all__ = [
    "Joined",
    "first_events",
    "first_impressions",
    "join_labels",
    "resolve_events",
]

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
) -> npt.NDArray[np.int64]:
    """Returns the rows that count, ascending: the earliest of each id, ties by content.

    Args:
        ids: text of the event ids, [N].
        times: in milliseconds, [N].
        content: hashes of the rows' content, [N].
    """
    codes = ids.dictionary_encode().indices.to_numpy()
    order = np.lexsort((content, times, codes))
    first = np.ones(len(order), np.bool_)
    first[1:] = codes[order][1:] != codes[order][:-1]
    return np.sort(order[first])


def first_events(events: pa.Table) -> pa.Table:
    """Returns the events that count: the earliest of each id, ties by key.

    Args:
        events: columns `event`, `key` (text) and `time`.
    """
    order = [("event", "ascending"), ("time", "ascending"), ("key", "ascending")]
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
        The events with their impression as `key`, and those whose key names no target.
    """
    position = pc.index_in(events["key"], targets["event"])
    found = position.is_valid()
    known = events.filter(found)
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
) -> Joined:
    """Labels the impressions of a bucket.

    Args:
        job: names labels and windows.
        ids: text of the impressions' ids, distinct, [N].
        times: of the impressions, in milliseconds, [N].
        given: labels that the impression log holds, by label, [N] each.
        events: events that count, by label; `key` names an impression.
        last_time: of all events and impressions of the logs, in milliseconds.
    """
    windows = [
        duration_ms(label.window) for label in job.labels.values() if label.window
    ]
    withheld = times + max(windows, default=0) > last_time
    if not windows:
        withheld[:] = False
    result = Joined(
        labels=np.zeros((len(times), len(job.labels)), np.int8), withheld=withheld
    )
    first_time: dict[str, npt.NDArray[np.int64]] = {}
    for position, (name, label) in enumerate(job.labels.items()):
        if label.column is not None:
            first = np.where(given[name] == 1, times, _NEVER)
        else:
            after = None if label.after is None else first_time[label.after]
            first = _first_times(
                result, name, duration_ms(label.window), ids, times, events, after
            )
        if label.column is not None and label.after is not None:
            first = np.where(first_time[label.after] < _NEVER, first, _NEVER)
        first_time[name] = first
        result.labels[:, position] = first < _NEVER
    return result


def _first_times(
    result: Joined,
    name: str,
    window: int,
    ids: pa.Array,
    times: npt.NDArray[np.int64],
    events: dict[str, pa.Table],
    after: npt.NDArray[np.int64] | None,
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
    counters["withheld"] += int(open_window.sum())
    delay = moments - times[rows]
    inside = (delay >= 0) & (delay <= window)
    counters["outside_window"] += int((~inside & ~open_window).sum())
    counted = inside & ~open_window
    if after is not None:
        follows = moments >= after[rows]
        counters["not_after"] += int((counted & ~follows).sum())
        counted &= follows
    counters["joined"] += int(counted.sum())
    np.minimum.at(first, rows[counted], moments[counted])
    return first
