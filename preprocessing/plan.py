"""What the stages of a run need to know; small, and sent to every worker."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.job import Job
from preprocessing.arrays import one_array
from preprocessing.day import Day
from preprocessing.fields import Field
from preprocessing.hashing import salted
from preprocessing.scratch import Scratch

__all__ = ["Plan", "bucket_of", "column_array"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run.

    Attributes:
        job: the job.
        fields: of every log, by name of the log.
        scratch: folder for files in progress.
        output: folder in which the example set is being made.
        golden_shares: by split; rows whose golden hash lies below are kept raw, because
            they may become golden rows.
        held: path of each side table that every worker holds whole, by name.
        met: names of the larger side tables, which impressions meet in buckets, one
            table after the other.
        day: of a daily run or a micro-batch, else None.
        first_block: number of the first block: in a stream all have their own.
    """

    job: Job
    fields: dict[str, list[Field]]
    scratch: Scratch
    output: str
    golden_shares: dict[str, float]
    held: dict[str, str] = dataclasses.field(default_factory=dict)
    met: tuple[str, ...] = ()
    day: Day | None = None
    first_block: int = 0

    @property
    def buckets(self) -> int:
        """Number of hash buckets."""
        return self.job.preprocessing.buckets


def bucket_of(
    fingerprints: npt.NDArray[np.int64], buckets: int
) -> npt.NDArray[np.int64]:
    """Returns the bucket of each id, by a hash of its fingerprint."""
    return (salted(fingerprints, "bucket") % np.uint64(buckets)).astype(np.int64)


def column_array(table: pa.Table, name: str) -> Any:
    """Returns a column as one array."""
    return one_array(table[name])
