"""The logs of the streaming demo: some minutes of the past, and the minutes to come.

Both are one synthetic log, cut at a moment: users, items and tastes are the same.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["cut_logs"]

LOGS = ("impressions", "clicks", "conversions")


def cut_logs(source: Path, moment_ms: int, *, past: Path, coming: Path) -> None:
    """Cuts a synthetic log (`preprocessing synthesize`, Parquet) in two.

    Args:
        source: folder of the log.
        moment_ms: ms since the epoch.
        past: new folder for what was logged before the moment. The windows of its last
            impressions stay open.
        coming: new folder for the impressions from the moment on, and what answers
            them.
    """
    for folder in (past, coming):
        folder.mkdir(parents=True)
    known: pa.ChunkedArray | None = None
    for name in LOGS:
        table = pa.concat_tables(
            [pq.read_table(path) for path in sorted(source.glob(f"{name}-*.parquet"))]
        )
        before = pc.less(table["timestamp_ms"], moment_ms)
        pq.write_table(table.filter(before), past / f"{name}-00000.parquet")
        if known is None:
            later = table.filter(pc.invert(before))
            known = pc.unique(table.filter(before)["impression_id"])
        else:
            later = table.filter(pc.invert(pc.is_in(table["impression_id"], known)))
            later = later.filter(pc.greater_equal(later["timestamp_ms"], moment_ms))
        pq.write_table(later, coming / f"{name}-00000.parquet")
