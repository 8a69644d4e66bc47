"""Medians of repeated measurements, with intervals, and ratios of interleaved ones."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread", "ratio", "spread"]

_RESAMPLES = 2_000
_LOWER, _UPPER = 0.025, 0.975


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A median and where it may lie.

    Attributes:
        middle: the median.
        low: of the 95% interval of the median, by bootstrap.
        high: of the same.
        count: measurements.
    """

    middle: float
    low: float
    high: float
    count: int

    def text(self, digits: int) -> str:
        """Returns "middle (low to high)"."""
        low, high = f"{self.low:,.{digits}f}", f"{self.high:,.{digits}f}"
        return f"{self.middle:,.{digits}f} ({low} to {high})"


def spread(values: Sequence[float]) -> Spread:
    """Returns the median of `values` with its interval.

    The bootstrap is seeded: the same values give the same interval. Of fewer than six
    values the interval is the range, which is the wider one.

    Raises:
        ValueError: if there are no values.
    """
    if not values:
        raise ValueError("expected at least one value")
    if len(values) < 6:
        low, high = min(values), max(values)
    else:
        generator = random.Random(0)  # noqa: S311 (no secret)
        medians = sorted(
            statistics.median(generator.choices(values, k=len(values)))
            for _ in range(_RESAMPLES)
        )
        low, high = medians[int(_LOWER * _RESAMPLES)], medians[int(_UPPER * _RESAMPLES)]
    return Spread(
        middle=statistics.median(values), low=low, high=high, count=len(values)
    )


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Returns the spread of the ratios of measurements made in the same round: what
    slowed the machine down in a round slowed both.

    Raises:
        ValueError: if the two have not as many rounds.
    """
    pairs = zip(numerators, denominators, strict=True)
    return spread([above / below for above, below in pairs])
