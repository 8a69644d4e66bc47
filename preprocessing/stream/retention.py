"""Removes the oldest sets of a stream."""

import shutil
from pathlib import Path

from configs.job import Job
from configs.stream_sets import stream_sets

__all__ = ["remove_old_sets"]


def remove_old_sets(job: Job, keep: int | None) -> None:
    """Removes all sets but the last `keep`; none where that is None."""
    if keep is None:
        return
    root = Path(job.data.examples)
    for left in root.glob(".????????.removed"):  # by a process that was killed
        shutil.rmtree(left)
    for folder in list(stream_sets(root).values())[:-keep]:
        # Whoever reads the folder sees it whole, or not at all.
        gone = folder.with_name(f".{folder.name}.removed")
        folder.rename(gone)
        shutil.rmtree(gone)
