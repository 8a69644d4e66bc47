"""How long labels take, and which share of them a window loses.

A log ends, so late labels of its last impressions are not in it: a delay is only seen
if it is shorter than the time from its impression to the end of the log. The curve
corrects for that (Lynden-Bell 1971, the product-limit estimate for right-truncated
data). What takes longer than the whole log nobody can see.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["WINDOWS", "DelayCurve", "delay_curve"]

Integers = npt.NDArray[np.int64]

WINDOWS = (
    *("0s", "10s", "1m", "5m", "10m", "30m", "1h", "2h", "6h", "12h"),
    *("1d", "2d", "3d", "7d", "14d", "30d"),
)
"""The windows that are looked at and proposed."""


@dataclass(frozen=True)
class DelayCurve:
    """The distribution of the delays of one label.

    Attributes:
        delays: distinct delays in ms, rising, [n].
        shares: estimated share of all labels that take at most so long, [n].
        events: number of delays that it was estimated from.
        earlier: events that came before their impression, which count for nothing.
        longest: the longest delay in ms that could have been seen.
    """

    delays: Integers
    shares: npt.NDArray[np.float64]
    events: int
    earlier: int
    longest: int

    def lost(self, window_ms: int) -> float:
        """Returns the share of the labels that a window loses."""
        place = int(np.searchsorted(self.delays, window_ms, side="right"))
        return 1.0 - (float(self.shares[place - 1]) if place else 0.0)

    def quantile(self, share: float) -> int:
        """Returns the shortest delay in ms that covers a share of the labels."""
        place = int(np.searchsorted(self.shares, share - 1e-12))
        return int(self.delays[min(place, len(self.delays) - 1)])


def delay_curve(delays: Integers, limits: Integers) -> DelayCurve | None:
    """Estimates the distribution of delays, None if there are none.

    Args:
        delays: in ms, of the events that were seen.
        limits: the longest delay that would have been seen of each, in ms.
    """
    valid = (delays >= 0) & (limits >= delays)
    earlier = int((delays < 0).sum())
    seen, until = np.sort(delays[valid]), np.sort(limits[valid])
    if not len(seen):
        return None
    distinct, counts = np.unique(seen, return_counts=True)
    at_most = np.cumsum(counts)
    ended = np.searchsorted(until, distinct, side="left")
    at_risk = at_most - ended
    # Where nobody with a shorter delay could have had this one, nothing is known of
    # the share below; half a person more keeps the product from becoming 0 for all.
    odd = (at_risk == counts) & (at_most > counts)
    kept = 1.0 - counts / (at_risk + 0.5 * odd)
    shares = np.ones(len(distinct))
    shares[:-1] = np.cumprod(kept[::-1])[::-1][1:]
    return DelayCurve(
        delays=distinct,
        shares=shares,
        events=len(seen),
        earlier=earlier,
        longest=int(until[-1]),
    )
