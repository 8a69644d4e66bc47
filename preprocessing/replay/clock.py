"""When each record is played, and what time it bears then."""

from collections.abc import Callable
from dataclasses import dataclass

from preprocessing.replay.settings import ReplaySettings

__all__ = ["Clock", "clock_of"]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The speed of a replay.

    Attributes:
        first: time of the first record, ms.
        last: time of the last one, ms.
        speed: ms of the logs in a ms of the clock, None for no waiting.
        moved: returns the new time of an old one; None leaves times as they are.
    """

    first: int
    last: int
    speed: float | None
    moved: Callable[[int], int] | None

    @property
    def seconds(self) -> float:
        """How long the replay takes, at least."""
        return 0.0 if self.speed is None else self.due(self.last)

    def due(self, time: int) -> float:
        """Returns when a record is played, seconds after the start."""
        return 0.0 if self.speed is None else (time - self.first) / self.speed / 1e3

    def reached(self, seconds: float) -> float:
        """Returns the time up to which records are played by then, ms."""
        if self.speed is None:
            return float("inf")
        return self.first + seconds * self.speed * 1e3


def clock_of(
    first: int, last: int, records: int, settings: ReplaySettings, now: int
) -> Clock:
    """Returns the clock of a replay.

    Args:
        first: time of the first record, ms since the epoch.
        last: time of the last one, ms.
        records: to be played.
        settings: of the replay.
        now: when it starts, ms since the epoch.
    """
    span, speed = last - first, settings.speed
    if settings.rate is not None:
        speed = max(span / 1e3 * settings.rate / records, 1e-9)
    moved: Callable[[int], int] | None = None
    if settings.compress and speed is not None:
        pace = speed

        def moved(time: int) -> int:
            return now + round((time - first) / pace)

    elif settings.shift_to_now:
        # Faster than life the last record catches up with the clock; slower than life
        # all others would be ahead of it, so the first one starts with it.
        lead = 0.0 if speed is None else min(span / speed, span)
        shift = now + round(lead) - last
        if speed is not None and speed < 1.0:
            shift = now - first

        def moved(time: int) -> int:
            return time + shift

    return Clock(first=first, last=last, speed=speed, moved=moved)
