"""Time zones as tables, so that arrays and graphs can use them."""

import math
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from configs.section import suggestion

__all__ = ["Offsets", "check_timezone", "timezone_offsets"]

Offsets = tuple[tuple[int, ...], tuple[int, ...]]
"""Seconds since the epoch from which an offset holds, ascending; and these offsets from
UTC in seconds, one more than times: the first holds before all of them."""

_FIRST_YEAR, _LAST_YEAR = 1950, 2100
_DAY = 86_400


def check_timezone(name: str) -> None:
    """Checks that there is such a zone.

    Raises:
        ValueError: if there is not.
    """
    try:
        ZoneInfo(name)
    except (OSError, ValueError) as error:
        known = available_timezones()
        if not known:
            raise ValueError(
                "this machine has no tz database: install its package (`tzdata`), or"
                " `pip install tzdata`"
            ) from error
        raise ValueError(
            f"no time zone {name!r}, expected an IANA name such as 'Europe/Berlin' or"
            f" 'UTC'.{suggestion(name, known)}"
        ) from error


@cache
def timezone_offsets(name: str) -> Offsets:
    """Returns the offsets of a zone from 1950 to 2100; its offsets before and after are
    taken to be the first and the last one of these."""
    zone = ZoneInfo(name)
    start = _seconds(_FIRST_YEAR)
    times: list[int] = []
    offsets = [_offset(zone, start)]
    for day in range(start, _seconds(_LAST_YEAR), _DAY):
        # Twice in a day clocks are not changed.
        after = _offset(zone, day + _DAY)
        if after != offsets[-1]:
            times.append(_change(zone, day, day + _DAY))
            offsets.append(after)
    return tuple(times), tuple(offsets)


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """Returns the first second with the offset of `high`, which `low` has not."""
    after = _offset(zone, high)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == after:
            high = middle
        else:
            low = middle
    return high


def _offset(zone: ZoneInfo, seconds: int) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    offset = moment.astimezone(zone).utcoffset()
    return 0 if offset is None else math.floor(offset.total_seconds())


def _seconds(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
