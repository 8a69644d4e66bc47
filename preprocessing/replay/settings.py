"""How logs are played."""

from dataclasses import dataclass

__all__ = ["ReplaySettings"]


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """How logs are played.

    Attributes:
        speed: seconds of the logs in a second of the clock; None plays as fast as the
            machine can.
        rate: records a second on the average, which sets the speed; None leaves it.
        limit: records that are played, the first ones by time; None for all.
        shift_to_now: whether all times are moved by the same span, so that no record
            is ever ahead of the clock, and the newest is played at its own time.
        compress: whether spans shrink with the speed too, so that each record is
            played at its own time. Windows of the job have to be as much shorter.
        interval: seconds between files, or between sends.
    """

    speed: float | None = 1.0
    rate: float | None = None
    limit: int | None = None
    shift_to_now: bool = False
    compress: bool = False
    interval: float = 1.0
