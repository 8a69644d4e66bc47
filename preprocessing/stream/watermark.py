"""The watermark of a stream: the event time by which everything has arrived.

It is the newest time of all impressions and events, less the lateness that is allowed.
A partition that is read to its end does not hold it back, since what it has not got may
not come for hours; one that is not does, by its next record. It never goes back.
Behaviours close no windows, but those that lag are waited for: histories are made of
them. Records in the future are dead letters before they come here.
"""

from collections.abc import Mapping

from preprocessing.stream.arrivals import Frozen

__all__ = ["BEGINNING", "next_watermark"]

BEGINNING = -(1 << 61)
"""Stands for the watermark before the first record: earlier than any time, ms."""


def next_watermark(
    before: int | None,
    latest: int | None,
    frozen: Frozen,
    newest: Mapping[str, int],
    lateness: int,
) -> int | None:
    """Returns the watermark of a micro-batch, ms; None where there was no record yet.

    Args:
        before: of the micro-batch before.
        latest: time of an impression or event, in this micro-batch or before.
        frozen: what this one reads.
        newest: latest time of each partition, this micro-batch included.
        lateness: how much later than a newer record one may come, ms.
    """
    if latest is None:
        return before
    reached = latest
    for partition, part in frozen.ranges.items():
        if part.behind:
            held = newest.get(partition) if part.head is None else part.head
            if held is None:  # it may hold anything
                return before
            reached = min(reached, held)
    # A record that is as late as may be is not behind.
    closing = reached - lateness - 1
    return closing if before is None else max(before, closing)
