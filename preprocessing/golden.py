"""Golden rows: the same rows raw and encoded, on which an export is proved."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from configs.job import Job
from configs.manifest import GOLDEN_EXAMPLES, GOLDEN_ROWS
from preprocessing.scratch import Scratch, read_bucket, write_atomically
from preprocessing.tfrecord import write_records

__all__ = ["golden_share", "write_golden"]

_MARGIN = 64
"""Candidates kept raw for each golden row wanted: most are of other splits, dropped,
or duplicates, which is not known yet where raw values are at hand."""


def golden_share(job: Job, estimated_rows: int) -> float:
    """Returns the share of impressions that are kept raw, as candidates.

    It must not depend on how the logs are cut into blocks: the golden rows would.
    """
    wanted = job.preprocessing.golden_rows * _MARGIN
    return min(1.0, wanted / max(estimated_rows, 1))


def write_golden(job: Job, scratch: Scratch, target: Path) -> int:
    """Writes the golden rows: of the validation split, or else of the training split,
    or else of the test split; those with the smallest hashes of their event ids.

    Returns:
        Their number.
    """
    for split in ("validation", "train", "test"):
        chosen = _chosen(job, scratch, split)
        if chosen is not None:
            break
    else:
        return 0
    raw = read_bucket(_files(scratch, "golden_raw"), 0)
    if raw is None:
        return 0
    place = ["home", "file", "row"]
    records = chosen.join(raw, place, join_type="inner")
    records = records.take(pc.sort_indices(records, [("hash", "ascending")]))
    lines = "".join(f"{record}\n" for record in records["record"].to_pylist())
    (target / GOLDEN_ROWS).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target / GOLDEN_ROWS, lines.encode())
    examples = pa.concat_arrays(records["example"].chunks)
    write_records(target, GOLDEN_EXAMPLES, [examples], compress=False)
    return int(records.num_rows)


def _chosen(job: Job, scratch: Scratch, split: str) -> pa.Table | None:
    found = read_bucket(_files(scratch, f"golden/{split}"), 0)
    if found is None:
        return None
    order = pc.sort_indices(found, [("hash", "ascending")])
    return found.take(order[: job.preprocessing.golden_rows])


def _files(scratch: Scratch, kind: str) -> list[str]:
    return sorted(str(path) for path in scratch.folder(kind).glob("*.arrow"))
