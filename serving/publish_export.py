"""Exports in a process of its own: the publisher itself stays small for months.

The child inherits the publisher's lock. If the publisher is killed, the next one waits
until the child has ended too.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from configs.errors import EXIT_CODE, ExportError
from configs.job import Job
from configs.loading import dump_job

__all__ = ["Export", "export_in_child"]

Export = Callable[[Job, Path, int, int], None]
"""Exports: the job, the folder of a checkpoint, the number of the version, and the file
descriptor of the lock. Raises an ExportError if that fails."""

_TIMEOUT_SECONDS = 3_600

_ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(sys.path),
    # The trainer's GPU has no room for a second model, and exporting needs none.
    "CUDA_VISIBLE_DEVICES": "-1",
}


def export_in_child(job: Job, checkpoint: Path, version: int, lock: int) -> None:
    """Runs `python -m serving export`.

    Raises:
        ExportError: if it fails, with its message.
        OSError: if there is no room for the job file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "job.yaml"
        path.write_text(dump_job(job), encoding="utf-8")
        command = [sys.executable, "-m", "serving", "export", str(path)]
        command += ["--checkpoint", str(checkpoint.resolve())]
        command += ["--version", str(version)]
        try:
            done = subprocess.run(  # noqa: S603 (our own module)
                command,
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                pass_fds=(lock,),
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"the export did not end within {_TIMEOUT_SECONDS} s"
            ) from error
    if done.returncode:
        _, found, message = done.stderr.rpartition("error: ")
        if done.returncode == EXIT_CODE and found:
            raise ExportError(message.strip())
        raise ExportError(
            f"the exporting process ended with status {done.returncode}:\n"
            f"{done.stderr[-4000:]}"
        )
