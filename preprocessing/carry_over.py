"""What a daily run leaves to the run of the next day, as checksummed files.

    carry_over.json               digests of the files, written last
    rows/<number>.arrow           encoded impressions whose windows are open, by home
    open/<home>.arrow             the same, narrow, by bucket of their ids
    known/<bucket>.arrow          narrow impressions that are done with, to know again
    events/<label>/<part>.arrow   events, by bucket of their ids, with states
    behaviours/<source>/<bucket>.arrow  behaviours that histories may still need

All are bucket files (`preprocessing.scratch`), and enter the stages of the next day
beside those of its logs.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from configs.errors import DataError
from configs.manifest import read_manifest, sha256_of
from preprocessing.behaviours import BEHAVIOURS
from preprocessing.day import Day
from preprocessing.impression_rows import INDEX, ROWS
from preprocessing.scratch import BucketFile, write_atomically

__all__ = [
    "CARRY_OVER",
    "carried_counts",
    "carried_files",
    "carried_ordinal",
    "read_carry_over",
    "write_carry_over",
]

CARRY_OVER = "carry_over"
_INDEX_FILE = "carry_over.json"

_FIRST_ORDINAL = 1 << 60
"""Of files of carried rows; those of blocks are smaller."""


def carried_ordinal(home: int) -> int:
    """Returns the number of the file of carried rows of a home bucket."""
    return _FIRST_ORDINAL + home


def carried_files(day: Day) -> Iterator[tuple[str, BucketFile]]:
    """Yields the bucket files that this day goes on from, each with the stage it
    enters: `rows`, `events` or `users`."""
    if day.carried is None:
        return
    root = Path(day.carried)
    for path in sorted(root.rglob("*.arrow")):
        kind, _, rest = str(path.relative_to(root)).partition("/")
        stage, name = {
            "rows": ("rows", ROWS),
            "open": ("rows", INDEX),
            "known": ("rows", INDEX),
            "events": ("events", rest.partition("/")[0]),
            "behaviours": ("users", BEHAVIOURS + rest.partition("/")[0]),
        }[kind]
        for bucket in _filled(path):
            yield stage, BucketFile(kind=name, bucket=bucket, path=str(path))


def write_carry_over(day: Day, contract: dict[str, Any]) -> str:
    """Lists the files of a carry-over with their digests; returns the digest of the
    list.

    Args:
        day: that carries.
        contract: what the next day must have in common with this one.
    """
    root = Path(day.carries)
    root.mkdir(parents=True, exist_ok=True)
    files = {
        str(path.relative_to(root)): sha256_of(path)
        for path in sorted(root.rglob("*.arrow"))
    }
    # The digest of the carry-over before is not in it: making a day again from other
    # files with the same contents changes nothing.
    record = {"day": day.name, "closing": day.closing, "contract": contract}
    text = json.dumps(record | {"files": files}, indent=1) + "\n"
    write_atomically(root / _INDEX_FILE, text.encode())
    return sha256_of(root / _INDEX_FILE)


def read_carry_over(folder: Path, contract: dict[str, Any] | None = None) -> str:
    """Checks a carry-over; returns its digest.

    Args:
        folder: of the carry-over.
        contract: what it must have in common with the day after, None for nothing.

    Raises:
        DataError: if it is absent, damaged, or of another job.
    """
    try:
        record = json.loads((folder / _INDEX_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} is no carry-over of a daily run ({error}): it was removed"
            " (preprocessing.daily.keep_carry_overs) or is damaged. Make the days again"
            " from one that has a carry-over, or from the first one"
        ) from error
    found = record["contract"]
    changed = [key for key, value in (contract or {}).items() if found[key] != value]
    if changed:
        raise DataError(
            f"{folder} was left by another job ({', '.join(changed)} differ): what is"
            " open cannot go on. Make the days again with this job, in a new folder"
        )
    for name, digest in record["files"].items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            state = "was changed" if path.is_file() else "is missing"
            raise DataError(
                f"{path} {state}: the carry-over is damaged. Make that day again"
                " (--days, --overwrite), and those after it"
            )
    return sha256_of(folder / _INDEX_FILE)


def carried_counts(day: Day) -> dict[str, int]:
    """Returns how many records of each log came from the day before, undecided."""
    if day.carried is None:
        return {}
    before = read_manifest(Path(day.carried).parent).counters
    return {
        f"{log}.carried_in": count
        for log, _, what in (name.rpartition(".") for name in before)
        if what == "carried_out" and (count := before[f"{log}.{what}"])
    }


def _filled(path: Path) -> list[int]:
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        count = file.num_record_batches
        return [n for n in range(count) if file.get_batch(n).num_rows]
