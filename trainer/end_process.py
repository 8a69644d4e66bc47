"""Ends the process with an exit status that is its own."""

import os
import sys
from typing import NoReturn

__all__ = ["end_process"]

_PACKAGE = "tensorflow_io"


def end_process(status: int) -> NoReturn:
    """Ends the process with an exit status that is its own.

    Where tensorflow-io's S3 client was used, tearing it down may abort the process
    ("pure virtual method called"), after all is done and written.

    It imports nothing heavy: TensorFlow is to be told how much to log before its first
    import, which a command does.
    """
    if _PACKAGE not in sys.modules:
        sys.exit(status)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
