"""Keeps two trainers off one run folder.

The lock is the kernel's, on a file beside the folder: it ends with the process, however
that ends, so a killed trainer leaves nothing behind that somebody would have to remove.
"""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import CheckpointError

__all__ = ["run_lock"]


@contextmanager
def run_lock(run: str | Path) -> Iterator[None]:
    """Holds the lock of the run `run`, which need not exist yet.

    Raises:
        CheckpointError: if another trainer holds it, naming its process and host.
    """
    folder = Path(os.path.abspath(run))
    path = folder.parent / f".{folder.name}.lock"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path)
    except BlockingIOError:
        raise CheckpointError(
            f"{run} is in use: {_holder(path)} trains in it. Two trainers would"
            " overwrite each other's checkpoints: wait for it, stop it, or name another"
            " folder in data.run"
        ) from None
    except OSError as error:
        print(
            f"warning: {path} cannot be locked ({error}): nothing prevents a second"
            " trainer on this run",
            file=sys.stderr,
        )
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # still locked: nobody holds a lock on this file
        os.close(file)


def _open_locked(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, file):
                os.ftruncate(file, 0)
                text = f"process {os.getpid()} on host {socket.gethostname()}"
                os.write(file, text.encode())
                return file
        except OSError:
            os.close(file)
            raise
        os.close(file)  # the holder before removed it in between: try the new one


def _is_still(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8") or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"
