"""Starts several workers of one training on this machine, and ends them together.

    parent ── TF_CONFIG ──▶ worker 0 (chief) ─┐
       │                    worker 1          ├─ output, each line with the worker
       │                    ...              ─┘
       └─ a pipe, held open: when it closes, the parent is gone, and workers stop

Workers run in sessions of their own, so that Ctrl-C reaches the parent alone, which
passes it on once. They use the CPU: several processes would each take all GPUs, which
one process with `strategy: mirrored` shares better.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import IO, Any

from configs.errors import JobError
from trainer.cluster import VARIABLE, tf_config

__all__ = ["PARENT_VARIABLE", "run_workers", "stop_with_parent"]

PARENT_VARIABLE = "PAIRSTREAM_STOP_WITH_PARENT"
"""Set for local workers: their standard input is the pipe of the parent."""

_GRACE_SECONDS = 15.0
"""For the other workers to end by themselves after one has failed. Those that wait for
it in an exchange of gradients never do."""

_STOP_SECONDS = 60.0
"""For workers to write a checkpoint after a signal."""


class _Workers:
    """The processes, and the signal that was passed on to them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self.signal: int | None = None
        self.deadline: float | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Passes a signal on; a second one kills."""
        if self.signal is not None:
            self.kill()
            return
        self.signal = number
        self.deadline = time.monotonic() + _STOP_SECONDS
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends what still runs, at once."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()

    def wait(self) -> int:
        """Waits for all to end, and returns the exit status of the first that failed,
        or 0."""
        first = 0
        while True:
            ended = [process.poll() for process in self.processes]
            failed = next((status for status in ended if status), 0)
            if failed and not first:
                first = failed
                if self.deadline is None:
                    self.deadline = time.monotonic() + _GRACE_SECONDS
            if None not in ended:
                return first
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.kill()
            time.sleep(0.1)


def run_workers(count: int, arguments: Sequence[str]) -> int:
    """Runs `python -m trainer` with `arguments` in `count` processes.

    Args:
        count: of workers; worker 0 is the chief.
        arguments: of each, the strategy `multi_worker` among them.

    Returns:
        0 if all ended well; else the status of the first that failed, or 128 + the
        signal that ended it or was passed on.

    Raises:
        JobError: if `count` is not positive.
    """
    if count < 1:
        raise JobError(f"{count} workers cannot train: expected 1 or more")
    addresses = _free_addresses(count)
    workers = _Workers()
    before = {
        number: signal.signal(number, workers.note)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        readers = []
        for index in range(count):
            process = _start(addresses, index, arguments)
            workers.processes.append(process)
            readers.append(_forward(process.stdout, sys.stdout, index))
            readers.append(_forward(process.stderr, sys.stderr, index))
            if workers.signal is not None:
                process.send_signal(signal.SIGTERM)  # it came while they were started
        status = workers.wait()
        for reader in readers:
            reader.join(timeout=5.0)
    finally:
        workers.kill()
        for number, handler in before.items():
            signal.signal(number, handler)
    if workers.signal is not None and status:
        return 128 + workers.signal
    return status if status >= 0 else 128 - status


def stop_with_parent() -> None:
    """In a worker: ends the process when the one that started it is gone."""
    if os.environ.pop(PARENT_VARIABLE, None) is not None:
        threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _free_addresses(count: int) -> list[str]:
    """Returns loopback addresses that are free now."""
    with ExitStack() as sockets:
        addresses = []
        for _ in range(count):
            # All are open at a time, so that they differ.
            opened = sockets.enter_context(socket.socket())
            opened.bind(("127.0.0.1", 0))
            addresses.append(f"127.0.0.1:{opened.getsockname()[1]}")
    return addresses


def _start(
    addresses: list[str], index: int, arguments: Sequence[str]
) -> "subprocess.Popen[str]":
    environment = dict(os.environ)
    environment |= {
        VARIABLE: tf_config(addresses, index),
        PARENT_VARIABLE: "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "trainer", *arguments],
        env=environment,
        stdin=subprocess.PIPE,  # kept open as long as this process lives
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _forward(source: Any, target: IO[str], index: int) -> threading.Thread:
    def copy() -> None:
        for line in source:
            print(f"[worker {index}] {line.rstrip()}", file=target, flush=True)

    reader = threading.Thread(target=copy, daemon=True)
    reader.start()
    return reader
