"""Runs the streaming join until it is told to end, and says how it goes."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from configs.durations import duration_ms
from configs.job import Job
from configs.manifest import Manifest
from preprocessing.future import now_ms
from preprocessing.stream.batch import join_of
from preprocessing.stream.driver import StreamingJoin
from preprocessing.stream.state import State

__all__ = ["run_stream"]


def run_stream(job: Job, *, once: bool = False, until_idle: bool = False) -> int:
    """Joins what arrives.

    Args:
        job: of the stream.
        once: ends after a micro-batch, or if there is none to make.
        until_idle: ends when all that has arrived is read.

    Returns:
        The number of micro-batches that were made. SIGTERM and SIGINT end the run after
        the one in the making.
    """
    join = join_of(job)
    interval = duration_ms(join.interval) / 1_000
    state = State(join.state)
    made = 0
    with _told_to_end() as end, state.locked():
        stream = StreamingJoin(job, state)
        began = time.monotonic()
        manifest = stream.recover()
        next_step = began
        while True:
            if manifest is not None:
                made += 1
                print(_line(stream, manifest, began), file=sys.stderr, flush=True)
            if end.is_set() or (once and made):
                break
            if not stream.behind and not (once or until_idle):
                # What has gathered meanwhile is read at once, and otherwise waited for.
                end.wait(max(0.0, next_step - time.monotonic()))
                if end.is_set():
                    break
            began = time.monotonic()
            next_step = began + interval
            manifest = stream.step()
            if manifest is None and (once or until_idle):
                break
    return made


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Yields what is set when the process is told to end; told again, it ends at once
    (a broker may be away, say), and the next one goes on all the same."""
    end = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield end
        return
    names = (signal.SIGTERM, signal.SIGINT)

    def told(*_: object) -> None:
        end.set()
        for name, handler in before.items():
            signal.signal(name, handler)

    before = {name: signal.signal(name, told) for name in names}
    try:
        yield end
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _line(stream: StreamingJoin, manifest: Manifest, began: float) -> str:
    """Returns what there is to say of a micro-batch."""
    counters = manifest.counters
    records = sum(n for name, n in counters.items() if name.endswith(".read"))
    rows = sum(split.rows for split in manifest.splits.values())
    seconds = max(time.monotonic() - began, 1e-9)
    watermark = None if manifest.stream is None else manifest.stream.watermark_ms
    lag = "no time yet"
    if watermark is not None:
        moment = datetime.fromtimestamp(watermark / 1_000, UTC)
        behind = (now_ms() - watermark) / 1_000
        lag = f"{moment:%Y-%m-%d %H:%M:%S} ({behind:,.0f} s ago)"
    left, unit = stream.unread
    number = 0 if manifest.stream is None else manifest.stream.batch
    return (
        f"batch {number}: {records:,} records in {seconds:.1f} s"
        f" ({records / seconds:,.0f}/s), {rows:,} rows; watermark {lag};"
        f" open {counters.get('impressions.carried_out', 0):,} impressions;"
        f" unread {left:,} {unit}; dead {sum(manifest.dead_letters.values()):,}"
    )
