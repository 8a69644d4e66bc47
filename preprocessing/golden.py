"""Golden rows: the same rows raw and encoded, on which an export is proved."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from configs.job import Job
from configs.manifest import GOLDEN_EXAMPLES, GOLDEN_ROWS
from preprocessing.plan import column_array
from preprocessing.scratch import Scratch, read_bucket, write_atomically
from preprocessing.splitting import SPLITS
from preprocessing.tfrecord import write_records

__all__ = ["golden_shares", "write_golden"]

_MARGIN = 64
"""Candidates kept raw for each golden row wanted: most are of other splits, dropped,
or duplicates, which is not known yet where raw values are at hand."""

_FALLBACK_MARGIN = 4
"""The same for splits that only serve if the first one turns out to be empty."""


def golden_shares(job: Job, estimated_rows: int) -> dict[str, float]:
    """Returns the share of each split's impressions that are kept raw, as candidates.

    It must not depend on how the logs are cut into blocks: the golden rows would.
    """
    rule = job.preprocessing.split
    first = "validation" if rule.validation else "train"
    shares = {}
    for split in SPLITS:
        margin = _MARGIN if split == first else _FALLBACK_MARGIN
        wanted = job.preprocessing.golden_rows * margin
        shares[split] = min(1.0, wanted / max(estimated_rows, 1))
    return shares


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
    places = _places(raw)
    records = dict(zip(places, raw["record"].to_pylist(), strict=True))
    found = [place in records for place in _places(chosen)]
    chosen = chosen.filter(pa.array(found))
    lines = "".join(f"{records[place]}\n" for place in _places(chosen))
    (target / GOLDEN_ROWS).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target / GOLDEN_ROWS, lines.encode())
    examples = column_array(chosen, "example")
    write_records(target, GOLDEN_EXAMPLES, [examples], compress=False)
    return int(chosen.num_rows)


def _chosen(job: Job, scratch: Scratch, split: str) -> pa.Table | None:
    found = read_bucket(_files(scratch, f"golden/{split}"), 0)
    if found is None:
        return None
    order = pc.sort_indices(found, [("hash", "ascending")])
    return found.take(order[: job.preprocessing.golden_rows])


def _places(table: pa.Table) -> list[tuple[int, int, int]]:
    """Returns where the encoded row of each row lies."""
    columns = [table[name].to_pylist() for name in ("home", "file", "row")]
    return list(zip(*columns, strict=True))


def _files(scratch: Scratch, kind: str) -> list[str]:
    return sorted(str(path) for path in scratch.folder(kind).glob("*.arrow"))
