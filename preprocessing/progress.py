"""A progress line on stderr, fed by the summaries that the stages leave."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preprocessing.scratch import Scratch

__all__ = ["show_progress"]

_INTERVAL_SECONDS = 0.5


@contextmanager
def show_progress(scratch: Scratch, blocks: int, buckets: int) -> Iterator[None]:
    """Shows how far the stages are while the block runs.

    On a terminal one line is redrawn; elsewhere (a log file) nothing is printed before
    the end.
    """
    done = threading.Event()
    watcher = _Watcher(scratch, blocks, buckets)
    thread = threading.Thread(target=watcher.watch, args=(done,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        watcher.show(final=True)


class _Watcher:
    def __init__(self, scratch: Scratch, blocks: int, buckets: int) -> None:
        self._folder = scratch.folder("summaries")
        self._totals = {"split": blocks, "join": buckets, "write": buckets}
        self._seen: set[str] = set()
        self._counts = dict.fromkeys(self._totals, 0)
        self._read = 0
        self._start = time.monotonic()
        self._read_seconds = 0.0

    def watch(self, done: threading.Event) -> None:
        while not done.wait(_INTERVAL_SECONDS):
            if sys.stderr.isatty():
                self.show(final=False)

    def show(self, *, final: bool) -> None:
        self._look()
        stages = ", ".join(
            f"{name} {self._counts[name]}/{total}"
            for name, total in self._totals.items()
        )
        rate = self._read / max(self._read_seconds, 1e-9)
        line = f"{stages}; {self._read:,} records read, {rate:,.0f} records/s"
        end = "\n" if final else ""
        start = "\r\x1b[2K" if sys.stderr.isatty() else ""
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def _look(self) -> None:
        for path in self._folder.glob("*.json"):
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            stage = path.name.partition("-")[0]
            if stage in self._counts:
                self._counts[stage] += 1
            if stage == "split":
                self._read += _records_read(path)
                self._read_seconds = time.monotonic() - self._start


def _records_read(path: Path) -> int:
    counters = json.loads(path.read_bytes())["counters"]
    return sum(n for name, n in counters.items() if name.endswith(".read"))
