"""A publisher as a process, whose exports are pretended: `python -m ... FOLDER`."""

import sys
import time
from pathlib import Path

from configs.job import Job
from serving.publish import watch
from tests.serving.published_runs import job_in, write_version


def slow_export(job: Job, checkpoint: Path, version: int, lock: int) -> None:
    time.sleep(0.05)
    write_version(job, checkpoint, version)
    time.sleep(0.1)


if __name__ == "__main__":
    watch(
        job_in(Path(sys.argv[1]), "stream.publish.every=1ms"),
        poll_seconds=0.005,
        export=slow_export,
    )
