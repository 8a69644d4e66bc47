"""Impressions and events that a stream is done with, to be met again.

A duplicate or a late event may come for days after a row has left. What it has to be
compared with grows with the stream, so it is not read and written in every micro-batch:
it lies in *segments*, bucket files (`preprocessing.scratch`) that never change, sorted
by fingerprint inside each bucket. A stage asks for the fingerprints it has met, and
gets the few rows that have them, marked as `STORED`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc

from preprocessing.arrays import one_array
from preprocessing.scratch import write_buckets

__all__ = ["FINGERPRINT", "Settled", "sorted_by_fingerprint"]

FINGERPRINT = "fingerprint"
"""Column of a segment, int64: of the id of an impression or event."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The segments of a stream.

    Attributes:
        segments: paths, by kind, which is the name of a log (`events.click`).
        leaves: folder for what is done with in this micro-batch.
    """

    segments: Mapping[str, Sequence[str]]
    leaves: str

    def find(
        self, kind: str, bucket: int, wanted: npt.NDArray[np.int64]
    ) -> pa.Table | None:
        """Returns the rows of a bucket that have one of these fingerprints."""
        wanted = np.unique(wanted)
        found = []
        for path in self.segments.get(kind, ()):
            with pa.memory_map(path) as source:
                batch = pa.ipc.open_file(source).get_batch(bucket)
            known = one_array(batch.column(FINGERPRINT)).to_numpy()
            first = np.searchsorted(known, wanted, "left")
            counts = np.searchsorted(known, wanted, "right") - first
            if counts.any():
                ends = np.cumsum(counts)
                rows = np.arange(ends[-1]) + np.repeat(first - ends + counts, counts)
                found.append(pa.Table.from_batches([batch]).take(pa.array(rows)))
        return pa.concat_tables(found).combine_chunks() if found else None

    def leave(
        self,
        kind: str,
        part: str,
        rows: pa.Table,
        buckets: npt.NDArray[np.int64],
        count: int,
    ) -> None:
        """Leaves rows with fingerprints for a segment of this micro-batch.

        Args:
            kind: of the rows.
            part: names them among those of this micro-batch.
            rows: to be found again.
            buckets: number of each row's bucket.
            count: number of buckets.
        """
        folder = Path(self.leaves) / kind
        folder.mkdir(parents=True, exist_ok=True)
        write_buckets(folder / f"{part}.arrow", rows, buckets, count)


def sorted_by_fingerprint(rows: pa.Table) -> pa.Table:
    """Returns rows in the order of a segment; those of one fingerprint keep theirs."""
    order = np.argsort(one_array(rows[FINGERPRINT]).to_numpy(), kind="stable")
    return rows.take(pa.array(order)).combine_chunks()
