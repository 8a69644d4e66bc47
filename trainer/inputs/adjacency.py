"""Proves that losses inside contexts find the rows of a context side by side."""

from configs.errors import DataError
from configs.job import Job
from configs.manifest import Manifest

__all__ = ["check_adjacent"]


def check_adjacent(manifest: Manifest, job: Job, *, folder: str) -> None:
    """Checks that the rows of a context of the job's losses meet in a batch.

    If they lie scattered over the files, hardly any context has two rows in a batch:
    ranking terms are then 0, and nothing else shows it.

    Args:
        manifest: of the example set.
        job: that wants to train on it.
        folder: named in the message.

    Raises:
        DataError: if losses stay inside contexts, and another id is adjacent, or none.
    """
    if job.context is None or manifest.adjacent == job.context:
        return
    found = "of no id" if manifest.adjacent is None else f"of a {manifest.adjacent}"
    raise DataError(
        f"losses compare rows inside a {job.context}, but in the example set {folder}"
        f" the rows {found} are side by side (or nothing is known of it), so that few"
        f" of a {job.context} would meet in a batch: run preprocessing again with this"
        f" job, or with 'preprocessing.adjacent: {job.context}'"
    )
