"""Runs several commands at once, and ends them all together.

    with Processes(Path("logs")) as processes:
        processes.start("join", [sys.executable, "-m", "preprocessing", "stream", job])
        processes.start("server", [...])
        processes.start("generator", [...], may_end=True)
        while processes.running("generator"):
            processes.check()

However the block ends, every process has ended after it, the one that was started last
first. Each has a session of its own, so that Ctrl-C reaches this process alone,
which then ends the others in good order. If this process is killed, so are they.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["Ended", "Processes", "interrupt_on_terminate", "wait_for"]

_LINES = 20
"""Last lines of a log that are shown of a process that ended by itself."""


class Ended(Exception):
    """A process ended that was to go on; the text says which, how, and its last
    lines."""


class Processes:
    """The processes, by name.

    Args:
        logs: folder for what they print, `<name>.log`.
        grace: seconds that a process has to end before it is killed.
    """

    def __init__(self, logs: Path, *, grace: float = 30.0) -> None:
        self._logs, self._grace = logs, grace
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._guards: dict[str, subprocess.Popen[bytes]] = {}
        self._may_end: set[str] = set()
        self.ended: dict[str, int] = {}
        """Exit status of each process that was ended or waited for; negative: the
        signal that killed it."""

    def __enter__(self) -> "Processes":
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self, name: str, command: Sequence[str], *, may_end: bool = False
    ) -> None:
        """Starts a process.

        Args:
            name: of the process.
            command: program and arguments.
            may_end: whether it may end by itself, with status 0.
        """
        if may_end:
            self._may_end.add(name)
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        # Its input ends when this process does, however that ends.
        self._guards[name] = subprocess.Popen(
            ["sh", "-c", f"read -r _; kill -9 -{process.pid}"],  # noqa: S607
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def log(self, name: str) -> Path:
        """Returns the file of what a process prints."""
        return self._logs / f"{name}.log"

    def running(self, name: str) -> bool:
        """Returns whether a process goes on."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def check(self) -> None:
        """Looks after all of them.

        Raises:
            Ended: if one has ended that was to go on, or has failed.
        """
        for name, process in list(self._running.items()):
            status = process.poll()
            if status == 0 and name in self._may_end:
                self._forget(name)
            elif status is not None:
                raise Ended(self._account(name, status))

    def stop(self) -> None:
        """Ends all, one after the other, the last one first; what does not end in time
        is killed. A further Ctrl-C kills at once."""
        while self._running:
            name = next(reversed(self._running))
            process = self._running[name]
            try:
                process.terminate()
                process.wait(self._grace)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                _kill_session(process)
                process.wait()
            finally:
                self._forget(name)

    def _forget(self, name: str) -> None:
        guard = self._guards.pop(name)
        guard.kill()
        guard.communicate()
        self.ended[name] = self._running.pop(name).returncode

    def _account(self, name: str, status: int) -> str:
        how = f"with status {status}"
        if status < 0:
            how = f"by {signal.Signals(-status).name}"
        log = self.log(name)
        lines = log.read_text(errors="replace").splitlines()[-_LINES:]
        shown = "\n".join(f"  | {line}" for line in lines) or "  | (it printed nothing)"
        return f"{name} has ended {how}; the end of {log}:\n{shown}"


def interrupt_on_terminate() -> None:
    """Makes SIGTERM do what Ctrl-C does, so that `with` blocks end in good order."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def wait_for(
    found: Callable[[], bool], processes: Processes, *, seconds: float, what: str
) -> None:
    """Waits for something that the processes bring about.

    Raises:
        Ended: if one of them ends meanwhile, or it takes too long.
    """
    deadline = time.monotonic() + seconds
    while not found():
        processes.check()
        if time.monotonic() > deadline:
            raise Ended(f"there is no {what} after {seconds:.0f} s")
        time.sleep(0.2)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kills a process, and what it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
