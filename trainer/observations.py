"""Which rows a task learns from where labels come late: impressions come several times.

A row tells of each label what kind of news it has (`configs.layout.EventKind`). A task
with `given` is about the rows where that label is 1: a row in which that turns 1 is
then the first one of its impression, whatever it tells of the task's own label.
"""

from typing import Any, NamedTuple

from configs.layout import EventKind

__all__ = ["Observed", "observed"]


class Observed(NamedTuple):
    """What rows are to a task: bool [B] each, of NumPy or TensorFlow as the kinds are.

    Attributes:
        first: the first row of its impression.
        late: a later row, in which the label turned 1.
        settled: the row from which on the label is known for good: one row of each
            impression, which `first` may be too.
    """

    first: Any
    late: Any
    settled: Any


def observed(labels: Any, kinds: Any, *, label: int, given: int | None) -> Observed:
    """Tells what rows are to a task.

    Args:
        labels: [B, labels], 0 or 1, as known in each row.
        kinds: `EventKind` of each label, int64 [B, labels].
        label: column of the task's label.
        given: column of the label that must be 1, if any; the task's comes after it.
    """
    kind, positive = kinds[:, label], labels[:, label] > 0.5
    first = (kind == EventKind.FIRST) | (kind == EventKind.SETTLED)
    late = kind == EventKind.LATE_POSITIVE
    settled = (
        late
        | (kind == EventKind.REAL_NEGATIVE)
        | (kind == EventKind.SETTLED)
        | (first & positive)
    )
    if given is None:
        return Observed(first, late, settled)
    inside = labels[:, given] > 0.5
    entering = kinds[:, given] == EventKind.LATE_POSITIVE
    return Observed(
        inside & (first | entering),
        inside & late & ~entering,
        # What was known before the row came in counts from here on.
        inside & (settled | (entering & positive)),
    )
