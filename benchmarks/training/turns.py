"""The worker's side of an interleaved run: trains for a turn, then waits to be told.

Only the standard library is imported here, because rivals run this file in environments
of their own. A worker's loop calls `Turns.step_done` after each step. Messages are
lines of JSON: orders on standard input, answers on a pipe of their own, because a
library may print what it likes on standard output.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ANSWERS", "WARM_UP", "Turns", "cpu_seconds", "peak_mebibytes"]

ANSWERS = "BENCHMARK_ANSWERS"
"""The environment variable with the descriptor that answers are written to."""

WARM_UP = 4
"""Steps before the first turn: tracing, first touches of memory, filling of queues."""


class Turns:
    """Answers the orders of `benchmarks.training.workers.Worker`.

    Args:
        versions: of the libraries used, by name.
        synchronize: waits until all steps handed out are done.
        warm_up: steps before the first turn.
    """

    def __init__(
        self,
        versions: dict[str, str],
        *,
        synchronize: Callable[[], object] = lambda: None,
        warm_up: int = WARM_UP,
    ) -> None:
        self._answers = os.fdopen(int(os.environ[ANSWERS]), "w")
        self._versions = versions
        self._synchronize = synchronize
        self._warm_up = warm_up
        self._steps = 0
        self._least_steps = 0
        self._until = 0.0
        self._started = 0.0
        self._cpu = 0.0

    def step_done(self) -> None:
        """Counts a step; at the end of a turn answers, and waits for the next one."""
        self._steps += 1
        if self._warm_up:
            if self._steps < self._warm_up:
                return
            self._warm_up = 0
            self._synchronize()
            self._cpu = cpu_seconds()
            self.answer({"ready": True, "versions": self._versions})
            return self._wait()
        if self._steps < self._least_steps or time.monotonic() < self._until:
            return None
        self._synchronize()
        seconds, cpu = time.monotonic() - self._started, cpu_seconds()
        # What was made ahead while other systems had their turn counts as well.
        self.answer(
            {
                "steps": self._steps,
                "seconds": seconds,
                "cpu_seconds": cpu - self._cpu,
                "peak_mebibytes": peak_mebibytes(),
            }
        )
        self._cpu = cpu
        return self._wait()

    def answer(self, message: dict[str, Any]) -> None:
        """Sends a message."""
        self._answers.write(json.dumps(message) + "\n")
        self._answers.flush()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # at once: nothing is to be evaluated or written
        order = json.loads(line)
        self._steps, self._least_steps = 0, order["steps"]
        self._started = time.monotonic()
        self._until = self._started + order["seconds"]


def cpu_seconds() -> float:
    """Returns the CPU time of this process and of those that it started."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for process in _descendants():
        fields = _stat(process)
        if fields:
            total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def peak_mebibytes() -> float:
    """Returns the largest resident memory of this process and those it started."""
    total = 0.0
    for process in [os.getpid(), *_descendants()]:
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) / 1024
    return total


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (fields := _stat(int(path.name))):
            children.setdefault(int(fields[1]), []).append(int(path.name))
    found: list[int] = []
    front = [os.getpid()]
    while front:
        front = [child for parent in front for child in children.get(parent, [])]
        found += front
    return found


def _stat(process: int) -> list[str]:
    """Returns the fields of /proc/PID/stat from the state on; none if it is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
