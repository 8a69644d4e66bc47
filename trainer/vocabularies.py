"""Vocabularies: the values that were seen often enough to have a row of their own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import DataError
from configs.job import Job
from configs.manifest import counts_file
from trainer.inputs.example_set import set_folders
from trainer.inputs.filesystems import is_remote, join, register
from trainer.layers.tables import table_inputs

__all__ = ["Vocabularies", "make_vocabularies"]

Vocabularies = dict[str, NDArray[np.int64]]
"""Sorted, distinct fingerprints by table."""


def make_vocabularies(job: Job, folder: str) -> Vocabularies:
    """Applies the thresholds of the job to the counts of an example set.

    Counts of the inputs that share a table are added up, and those of several days.

    Raises:
        DataError: if counts are missing or damaged.
    """
    vocabularies: Vocabularies = {}
    days = job.data.days if folder == job.data.examples else None
    folders = set_folders(folder, days)
    for table, inputs in table_inputs(job).items():
        vocabulary = job.embedding_of(table).vocabulary
        if vocabulary is None:
            continue
        counts = [_read_counts(f, name) for f in folders for name in inputs]
        values, place = np.unique(
            np.concatenate([fingerprints for fingerprints, _ in counts]),
            return_inverse=True,
        )
        weight = np.concatenate([weights for _, weights in counts])
        totals = np.bincount(place, weights=weight, minlength=len(values))
        # Sums of weights 1/r may miss a whole number by rounding.
        frequent = totals >= vocabulary.min_count - 1e-6
        values, totals = values[frequent], totals[frequent]
        if vocabulary.max_size is not None and len(values) > vocabulary.max_size:
            # The most frequent; of those with equal counts, the lowest fingerprints.
            most = np.lexsort((values, -totals))[: vocabulary.max_size]
            values = np.sort(values[most])
        vocabularies[table] = values.astype(np.int64)
    return vocabularies


def _read_counts(
    folder: str, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import tensorflow as tf

    path = join(folder, counts_file(name))
    try:
        if is_remote(folder):
            register(path)
            with tf.io.gfile.GFile(path, "rb") as file:
                table = pq.read_table(pa.BufferReader(file.read()))
        else:
            table = pq.read_table(Path(path))
        return (
            table["fingerprint"].to_numpy().astype(np.int64),
            table["count"].to_numpy().astype(np.float64),
        )
    except (OSError, KeyError, pa.ArrowException, tf.errors.OpError) as error:
        raise DataError(
            f"the counts of {name!r} in {path} cannot be read ({error}). They make the"
            " vocabulary: run preprocessing again"
        ) from error
