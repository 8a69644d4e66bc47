"""Golden rows: the same rows raw and encoded, on which an export is proved."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from configs.job import Job
from configs.manifest import GOLDEN_EXAMPLES, GOLDEN_ROWS
from configs.times import TimeUnit, spelled_time
from preprocessing.hashing import salted, unit_interval
from preprocessing.plan import column_array
from preprocessing.scratch import Scratch, read_bucket, write_atomically
from preprocessing.splitting import SPLITS
from preprocessing.tfrecord import write_records

__all__ = [
    "golden_candidates",
    "golden_shares",
    "raw_records",
    "raw_values",
    "write_golden",
]

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


def golden_candidates(
    shares: dict[str, float],
    events: npt.NDArray[np.int64],
    splits: npt.NDArray[np.int8],
) -> npt.NDArray[np.bool_]:
    """Returns which rows may become golden rows.

    Args:
        shares: of `golden_shares`.
        events: fingerprints of the rows' event ids, [N].
        splits: of the rows, [N].
    """
    # The last place is for rows outside of every split, which NO_SPLIT (-1) finds.
    limits = np.array([*(shares[name] for name in SPLITS), 0.0])
    chosen: npt.NDArray[np.bool_] = (
        unit_interval(salted(events, "golden")) < limits[splits]
    )
    return chosen


def raw_values(values: list[Any], kind: str, unit: TimeUnit | None = None) -> list[Any]:
    """Returns values as a request spells them: integers, text ("" where missing),
    numbers and times (null where missing), and lists of these."""
    if unit is not None:
        return [spelled_time(value, unit) for value in values]
    if kind != "int64":  # orjson writes NaN as null
        return values
    return [
        [int(v) if v else v for v in value]
        if isinstance(value, list)
        else (int(value) if value else value)
        for value in values
    ]


def raw_records(columns: dict[str, list[Any]], count: int) -> list[str]:
    """Returns rows as JSON objects."""
    names = list(columns)
    rows = zip(*columns.values(), strict=True) if names else iter([()] * count)
    return [orjson.dumps(dict(zip(names, row, strict=True))).decode() for row in rows]


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
    lines = "".join(f"{record}\n" for record in chosen["record"].to_pylist())
    (target / GOLDEN_ROWS).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target / GOLDEN_ROWS, lines.encode())
    examples = column_array(chosen, "example")
    write_records(target, GOLDEN_EXAMPLES, [examples], compress=False)
    return int(chosen.num_rows)


def _chosen(job: Job, scratch: Scratch, split: str) -> pa.Table | None:
    folder = scratch.folder(f"golden/{split}")
    found = read_bucket(sorted(str(path) for path in folder.glob("*.arrow")), 0)
    if found is None:
        return None
    order = pc.sort_indices(found, [("hash", "ascending")])
    return found.take(order[: job.preprocessing.golden_rows])
