"""Records stamped in the future: one of them would close the windows of all others.

Windows are closed by the times of the logs, so a single clock that runs ahead would
make negatives of impressions whose clicks are still to come. What is stamped later than
the clock by more than an allowance is therefore a dead letter, `future_time`. The clock
is read once: in a batch job when it begins, in a stream when a micro-batch is decided
on, so that doing that again gives the same.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence

from configs.durations import duration_ms
from preprocessing.fields import Field, table_log_name

__all__ = ["now_ms", "refuse_future"]


def now_ms() -> int:
    """Returns the time of the clock, ms since the epoch."""
    return time.time_ns() // 1_000_000


def refuse_future(
    fields: Mapping[str, Sequence[Field]], now: int, allowance: str | None
) -> dict[str, list[Field]]:
    """Returns the fields of logs so that reading refuses times in the future.

    Rows of side tables may hold from a later time on, and moments that are features may
    lie anywhere: they close no window.

    Args:
        fields: by name of the log.
        now: time of the clock, ms since the epoch.
        allowance: a duration that a time may lie behind it; None refuses nothing.
    """
    if allowance is None:
        return {log: list(own) for log, own in fields.items()}
    latest = now + duration_ms(allowance)
    return {
        log: [
            _bounded(field, latest) if _closes(log, field) else field for field in own
        ]
        for log, own in fields.items()
    }


def _closes(log: str, field: Field) -> bool:
    return field.kind == "time" and not log.startswith(table_log_name(""))


def _bounded(field: Field, latest: int) -> Field:
    return dataclasses.replace(field, latest=latest)
