"""Late labels: which rows of an impression leave when, and what they say.

An impression leaves a first time when it was observed for a while, with the labels
known by then, and again whenever there is news: a label turned 1, or its window ended
without. All of it is a function of event times:

    first       t + observe
    turned      the time of the first event that counts; from then on the label is 1
    closed      t + window; of a label after another one, when that other one closes,
                or if it turned, the later of t + window and that moment

Rows leave in the micro-batch whose watermark passes their moment. Since all that lies
before a watermark has arrived, the rows do not depend on how the time is cut into
micro-batches, and each impression has exactly one first row, at most one row in which a
label turns late, and one in which it closes exactly if it never turned and was not
known for good at first.

An event that comes after its watermark has passed cannot have its row at its moment. It
has it in the micro-batch that it comes with, unless the label was closed before.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from configs.durations import duration_ms
from configs.job import Job
from configs.layout import EventKind

__all__ = ["NEVER", "Known", "Observations", "observations"]

NEVER = np.iinfo(np.int64).max
"""Moment of what does not happen."""

_ALWAYS = np.iinfo(np.int64).min


@dataclass(frozen=True, kw_only=True)
class Known:
    """Impressions of a micro-batch, and what is known of them.

    Attributes:
        times: in milliseconds, int64 [N].
        turned: time of the first event that counts and has arrived, by label, `NEVER`
            without one; of a label that the impression log holds as 1 that of the
            impression. int64 [N, labels].
        seen: whose first rows left in earlier micro-batches, bool [N].
        told: labels that were 1 in rows that left, bool [N, labels].
    """

    times: npt.NDArray[np.int64]
    turned: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]
    told: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Observations:
    """The rows that leave in a micro-batch, by impression and moment.

    Attributes:
        rows: impressions, int64 [M], ascending.
        kinds: `EventKind` of the rows, int8 [M].
        label_kinds: `EventKind` of the labels, int8 [M, labels].
        labels: as known at the moment, int8 [M, labels].
        elapsed: from the impression to the moment, ms, int64 [M].
        seen: of the impressions, now, [N].
        told: of the impressions, now, [N, labels].
        done: whose labels are all decided and told, so that nothing follows, [N].
        too_late: labels whose events came when they were closed, [N, labels].
    """

    rows: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int8]
    label_kinds: npt.NDArray[np.int8]
    labels: npt.NDArray[np.int8]
    elapsed: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]
    told: npt.NDArray[np.bool_]
    done: npt.NDArray[np.bool_]
    too_late: npt.NDArray[np.bool_]


def observations(
    job: Job, known: Known, observe: int, previous: int | None, watermark: int
) -> Observations:
    """Returns the rows that leave when the watermark moves.

    Args:
        job: names labels and windows.
        known: the impressions that are open, or new.
        observe: milliseconds from an impression to its first row.
        previous: watermark of the micro-batch before, None if there was none.
        watermark: of this one: all that is not later has arrived.
    """
    turned, too_late = _effective(job, known, previous)
    turned = np.where(turned <= watermark, turned, NEVER)
    closed = _closed(job, known.times, turned)
    first = known.times + observe
    rows, moments = _moments(known, first, turned, closed, previous, watermark)
    at, is_first = moments[:, np.newaxis], moments == first[rows]
    positive, negative = turned[rows] <= at, closed[rows] <= at
    label_kinds = np.full(positive.shape, EventKind.REPEATED, np.int8)
    label_kinds[turned[rows] == at] = EventKind.LATE_POSITIVE
    label_kinds[closed[rows] == at] = EventKind.REAL_NEGATIVE
    known_for_good = np.where(positive | negative, EventKind.SETTLED, EventKind.FIRST)
    label_kinds[is_first] = known_for_good[is_first]
    late = (label_kinds == EventKind.LATE_POSITIVE).any(axis=1)
    kinds = np.where(late, EventKind.LATE_POSITIVE, EventKind.REAL_NEGATIVE)
    kinds[is_first] = EventKind.FIRST
    decided = (turned <= watermark) | (closed <= watermark)
    seen = known.seen | (first <= watermark)
    return Observations(
        rows=rows,
        kinds=kinds.astype(np.int8),
        label_kinds=label_kinds,
        labels=positive.astype(np.int8),
        elapsed=moments - known.times[rows],
        seen=seen,
        told=(turned <= watermark) & seen[:, np.newaxis],
        done=seen & decided.all(axis=1),
        too_late=too_late,
    )


def _effective(
    job: Job, known: Known, previous: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Returns when labels turn as far as rows can tell, and which turned too late.

    In order, that is when they turned. What was told is told; of an event that came
    after its watermark the label turns behind that, or never if it was closed.
    """
    if previous is None:
        return _in_order(job, known.turned), np.zeros_like(known.told)
    # The event of what was told need not be among those that are known still.
    turned = np.where(known.told, np.minimum(known.turned, previous), known.turned)
    turned = _in_order(job, turned)
    behind = known.seen[:, np.newaxis] & ~known.told & (turned <= previous)
    if not behind.any():
        return turned, behind
    told = np.where(known.told, turned, NEVER)
    too_late = behind & (_closed(job, known.times, told) <= previous)
    moved = np.where(behind, previous + 1, turned)
    effective = _in_order(job, np.where(too_late, NEVER, moved))
    # What comes after a label that stays closed comes too late as well.
    return effective, (turned < NEVER) & (effective == NEVER)


def _in_order(job: Job, turned: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns `turned` where no label turns before the one that it comes after."""
    ordered, names = turned.copy(), list(job.labels)
    for column, label in enumerate(job.labels.values()):
        if label.after is not None:
            before = ordered[:, names.index(label.after)]
            np.maximum(ordered[:, column], before, out=ordered[:, column])
    return ordered


def _closed(
    job: Job, times: npt.NDArray[np.int64], turned: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Returns when labels are known to stay 0, `NEVER` where they turn, [N, labels].

    As far as `turned` is known, that is: a moment before the watermark stands, and a
    later one may still change.
    """
    names = list(job.labels)
    closed = np.empty_like(turned)
    for column, label in enumerate(job.labels.values()):
        window = 0 if label.window is None else duration_ms(label.window)
        ends = times + window
        if label.after is not None:
            before = names.index(label.after)
            ends = np.where(
                turned[:, before] < NEVER,
                np.maximum(ends, turned[:, before]),
                closed[:, before],
            )
        closed[:, column] = np.where(turned[:, column] < NEVER, NEVER, ends)
    return closed


def _moments(
    known: Known,
    first: npt.NDArray[np.int64],
    turned: npt.NDArray[np.int64],
    closed: npt.NDArray[np.int64],
    previous: int | None,
    watermark: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns impression and moment of each row that leaves, ascending."""
    news = np.concatenate([first[:, np.newaxis], turned, closed], axis=1)
    since = np.where(known.seen, _ALWAYS if previous is None else previous, _ALWAYS)
    leaving = (news > since[:, np.newaxis]) & (news <= watermark)
    # What is known at first is no news after.
    leaving[:, 1:] &= news[:, 1:] > first[:, np.newaxis]
    leaving[:, 0] &= ~known.seen
    rows, columns = np.nonzero(leaving)
    moments = news[rows, columns]
    order = np.lexsort((moments, rows))
    rows, moments = rows[order], moments[order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (moments[1:] != moments[:-1])
    return rows[new].astype(np.int64), moments[new]
