"""Where a server listens, and how much it takes on."""

import os
from dataclasses import dataclass, field

__all__ = ["Limits"]

MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds that keep one client from exhausting the server.

    Attributes:
        body_bytes: of a request; beyond it the answer is 413.
        instances: of a request; beyond it the answer is 400.
        values: of one column after padding its lists; beyond it the answer is 400.
        threads: requests computed at the same time.
        pending: requests computed or waiting; beyond it the answer is 429.
        grace_seconds: time that running requests get to end after SIGTERM.
    """

    body_bytes: int = 16 * MEBIBYTE
    instances: int = 10_000
    values: int = 4_000_000
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    pending: int = 256
    grace_seconds: int = 30
