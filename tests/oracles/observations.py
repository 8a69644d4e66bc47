"""Late labels, one impression and one millisecond after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIRST, LATE_POSITIVE, REAL_NEGATIVE, REPEATED, SETTLED = range(5)


@dataclass(frozen=True)
class Label:
    """Window in milliseconds, or None where the impression log has the label."""

    window: int | None
    after: str | None = None


Row = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""Elapsed milliseconds, kind, kinds of the labels, labels."""


def rows_of(
    labels: Mapping[str, Label],
    time: int,
    given: Mapping[str, int],
    events: Mapping[str, Sequence[int]],
    observe: int,
    end: int,
) -> list[Row]:
    """Returns the rows of an impression, as they leave until `end`, in order.

    Args:
        labels: in order.
        time: of the impression.
        given: labels that the impression log has.
        events: times of each other label's events, in any order.
        observe: from the impression to its first row.
        end: nothing after it is looked at.
    """
    on: dict[str, bool] = dict.fromkeys(labels, False)
    over: dict[str, bool] = dict.fromkeys(labels, False)
    rows: list[Row] = []
    for now in range(time, end + 1):
        turned, closed = set(), set()
        arrived = {n: [e for e in found if e <= now] for n, found in events.items()}
        counts = first_counting(labels, time, given, arrived)
        for name, label in labels.items():
            if on[name] or over[name]:
                continue
            if label.after is not None and over[label.after]:
                over[name] = True
                closed.add(name)
            elif label.after is None or on[label.after]:
                if counts[name] is not None:
                    on[name] = True
                    turned.add(name)
                elif now - time >= (label.window or 0):
                    over[name] = True
                    closed.add(name)
        if now == time + observe:
            kinds = [SETTLED if on[n] or over[n] else FIRST for n in labels]
            rows.append((observe, FIRST, tuple(kinds), known(labels, on)))
        elif now > time + observe and (turned or closed):
            kinds = [
                LATE_POSITIVE
                if n in turned
                else REAL_NEGATIVE
                if n in closed
                else REPEATED
                for n in labels
            ]
            kind = LATE_POSITIVE if turned else REAL_NEGATIVE
            rows.append((now - time, kind, tuple(kinds), known(labels, on)))
    return rows


def known(labels: Mapping[str, Label], on: Mapping[str, bool]) -> tuple[int, ...]:
    return tuple(int(on[name]) for name in labels)


def first_counting(
    labels: Mapping[str, Label],
    time: int,
    given: Mapping[str, int],
    events: Mapping[str, Sequence[int]],
) -> dict[str, int | None]:
    """Returns the time of what makes each label 1; None for never. What the impression
    log holds has the time of the impression, even if it comes after a later event."""
    found: dict[str, int | None] = {}
    for name, label in labels.items():
        after = None if label.after is None else found[label.after]
        if label.after is not None and after is None:
            found[name] = None
        elif label.window is None:
            found[name] = time if given[name] else None
        else:
            found[name] = min(
                (
                    e
                    for e in events[name]
                    if 0 <= e - time <= label.window and (after is None or e >= after)
                ),
                default=None,
            )
    return found
