"""Locks between processes that publish the versions of one model.

They are the kernel's, on files that stay: a lock ends with the process that holds it,
and with those that it has started.
"""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import PairstreamError

__all__ = ["locked"]


@contextmanager
def locked(
    path: str | Path, *, wait: Callable[[str], None] | None, what: str
) -> Iterator[int]:
    """Holds a lock, and yields its file descriptor: a process that inherits it shares
    the lock.

    Args:
        path: of the file; made where it is absent.
        wait: called once if another process holds the lock, and then it is waited for;
            None refuses at once.
        what: the holder does, for messages.

    Raises:
        PairstreamError: if another process holds the lock, and `wait` is None.
        OSError: if the file cannot be made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(file, path, wait, what)
        yield file
    finally:
        os.close(file)


def _acquire(
    file: int, path: Path, wait: Callable[[str], None] | None, what: str
) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"another process {what} ({path} is locked)"
        if wait is None:
            raise PairstreamError(f"{message}: wait for it, or end it") from None
        wait(message)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        print(
            f"warning: {path} cannot be locked ({error}): see to it that only one"
            " process publishes",
            file=sys.stderr,
        )
