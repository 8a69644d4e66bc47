"""Keep rate, batch size, window and split, from what was counted."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from configs.durations import DAY_MS, duration_ms
from preprocessing.planning.delays import WINDOWS, DelayCurve

__all__ = [
    "POSITIVES_WANTED",
    "TimeRange",
    "batch_size",
    "keep_rate",
    "moment_text",
    "no_positive",
    "sampled_rate",
    "split_moments",
    "window_for",
]

Integers = npt.NDArray[np.int64]

POSITIVES_WANTED = 16
"""Positives that a batch should hold on average: one in nine million batches then has
none, and ranking losses have pairs to compare."""

_LOSS_ACCEPTED = 0.02
_LARGE_LOG = 2_000_000
_RARE = 0.05
_SMALLEST, _LARGEST = 256, 16_384
_FEWEST_STEPS, _MOST_STEPS = 20, 4_000
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000


@dataclass(frozen=True)
class TimeRange:
    """The moments of the impressions.

    Attributes:
        times: of the sample, in ms, sorted.
        first: of the log.
        last: of the log.
        known: whether `last` is the end of the whole log and not of the sample.
    """

    times: Integers
    first: int
    last: int
    known: bool

    @property
    def span(self) -> int:
        """Milliseconds from the first to the last."""
        return self.last - self.first

    def quantile(self, share: float, until: int) -> int:
        """Returns the moment before which a share of the rows before `until` lie."""
        inside = self.times[self.times <= until]
        if self.known and len(inside) and int(self.times[-1]) >= until:
            return int(np.quantile(inside, share))
        return int(self.first + share * (until - self.first))


def window_for(curve: DelayCurve | None, span: int) -> str:
    """Returns the shortest window that loses 2% of the labels or less, or the longest
    that still closes for most of the log."""
    longest = max(span // 4, 0)
    allowed = [window for window in WINDOWS if duration_ms(window) <= longest] or ["0s"]
    if curve is None:
        return "30m" if "30m" in allowed else allowed[-1]
    for window in allowed:
        if curve.lost(duration_ms(window)) <= _LOSS_ACCEPTED:
            return window
    return allowed[-1]


def keep_rate(rows: int, rate: float) -> float:
    """Returns the share of negatives to keep: all, or so many that about one row in
    twenty is positive, where a log is large and its positives are rare."""
    if rows < _LARGE_LOG or rate >= _RARE or rate <= 0.0:
        return 1.0
    wanted = rate / (1.0 - rate) * (1.0 - _RARE) / _RARE
    steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    return next((step for step in steps if step >= wanted), 1.0)


def sampled_rate(rate: float, kept: float) -> float:
    """Returns the share of positives in training rows, of whose negatives some were
    dropped."""
    return rate / (rate + kept * (1.0 - rate)) if rate > 0 else 0.0


def batch_size(rate: float, rows: int) -> int:
    """Returns the smallest power of two whose batches hold enough positives, and of
    which an epoch has 4,000 steps or fewer.

    Args:
        rate: share of positives among training rows.
        rows: training rows; there should be 20 batches at least.
    """
    wanted = POSITIVES_WANTED / max(rate, 1e-9)
    # More rows than that, where an epoch would have very many steps.
    wanted = max(wanted, rows / _MOST_STEPS, 1.0)
    size = min(max(1 << math.ceil(math.log2(wanted)), _SMALLEST), _LARGEST)
    most = 1 << max(int(math.log2(max(rows / _FEWEST_STEPS, 1.0))), 4)
    return min(size, most)


def no_positive(rate: float, size: int) -> float:
    """Returns the share of batches without any positive."""
    return float((1.0 - rate) ** size)


def split_moments(range_: TimeRange, window: int) -> tuple[int, int] | None:
    """Returns where training ends and where testing begins, in ms: after about 80% and
    90% of the rows whose window closes inside the log; None if the times do not tell.
    """
    until = range_.last - window
    if not range_.known or range_.span < 10 * _MINUTE_MS or until <= range_.first:
        return None
    ends = [range_.quantile(share, until) for share in (0.8, 0.9)]
    for unit in (DAY_MS, _HOUR_MS, _MINUTE_MS, 1):
        first, second = (round(end / unit) * unit for end in ends)
        closed = range_.times[range_.times <= until]
        before = float((closed < first).mean())
        between = float(((closed >= first) & (closed < second)).mean())
        if 0.7 <= before <= 0.88 and between >= 0.04 and before + between <= 0.96:
            return first, second
        if unit == 1 and first < second:
            return first, second
    return None


def moment_text(moment: int) -> str:
    """Writes a moment as a job file takes it, in UTC."""
    found = datetime.fromtimestamp(moment / 1_000, UTC).replace(tzinfo=None)
    if moment % DAY_MS == 0:
        return found.date().isoformat()
    return found.isoformat(timespec="milliseconds" if moment % 1_000 else "seconds")
