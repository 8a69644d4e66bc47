"""Opens example sets, local or remote; proves that they fit the job and are whole.

A folder of days (`configs.days`) is read like one set: the shards of its days, one day
after the other.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from configs.contract import check_same_contract, data_contract
from configs.days import (
    choose_days,
    day_of_name,
    local_sets,
    merge_manifests,
    merge_statistics,
)
from configs.errors import DataError
from configs.job import Job
from configs.manifest import (
    MANIFEST_FILE,
    STATISTICS_FILE,
    ExampleSplit,
    Manifest,
    Statistics,
    check_shards,
    read_manifest,
    read_statistics,
)
from configs.stream_sets import number_of_set
from trainer.inputs.filesystems import (
    file_size,
    is_remote,
    join,
    names_in,
    read_text,
)

__all__ = [
    "check_fits",
    "digest_of",
    "open_manifest",
    "open_one",
    "open_sets",
    "read_all_statistics",
    "read_as_one",
    "set_folders",
    "split_of",
]


def set_folders(folder: str, days: str | None = None) -> list[str]:
    """Returns the folders of the example sets that a folder stands for: itself, or
    those of its days.

    Args:
        folder: of a set, or of days.
        days: a range of days (`data.days`), None for all.

    Raises:
        DataError: if a day of the range is absent, or a folder cannot be read.
    """
    if not is_remote(folder):
        return local_sets(folder, days)
    if days is None and file_size(join(folder, MANIFEST_FILE)) is not None:
        return [folder]
    names = [
        name
        for name in names_in(folder)
        if (day_of_name(name) or number_of_set(name) is not None)
        and file_size(join(join(folder, name), MANIFEST_FILE)) is not None
    ]
    return [join(folder, n) for n in choose_days(names, days, folder)] or [folder]


def open_manifest(folder: str, days: str | None = None) -> Manifest:
    """Reads the manifest of an example set on any file system, or of several days'.

    Args:
        folder: of a set, or of days.
        days: a range of days (`data.days`), None for all.

    Raises:
        DataError: if there is no example set, it cannot be read, or the days do not
            belong together.
    """
    return read_as_one(open_sets(folder, days), folder)


def open_sets(folder: str, days: str | None = None) -> dict[str, Manifest]:
    """Reads the manifests of all sets that a folder stands for, by their names in it;
    the name of a folder that is a set itself is empty.

    Raises:
        DataError: if there is no example set, or one cannot be read.
    """
    folders = set_folders(folder, days)
    if folders == [folder]:
        return {"": open_one(folder)}
    return {path.rpartition("/")[2]: open_one(path) for path in folders}


def read_as_one(sets: Mapping[str, Manifest], folder: str) -> Manifest:
    """Returns the manifest of all sets that `open_sets` gave, as of one.

    Raises:
        DataError: if they do not belong together.
    """
    return sets[""] if "" in sets else merge_manifests(sets, folder)


def digest_of(split: ExampleSplit | None) -> str:
    """Returns the SHA-256 over the files of a split, by which it is known again."""
    shards = [] if split is None else split.shards
    files = "".join(f"{s.path} {s.rows} {s.sha256}\n" for s in shards)
    return hashlib.sha256(files.encode()).hexdigest()


def read_all_statistics(folder: str, days: str | None = None) -> Statistics:
    """Reads the statistics of an example set, or of several days as one.

    Raises:
        DataError: if there are none, or they are damaged.
    """
    return merge_statistics([_statistics_of(f) for f in set_folders(folder, days)])


def _statistics_of(folder: str) -> Statistics:
    if not is_remote(folder):
        return read_statistics(folder)
    text = read_text(join(folder, STATISTICS_FILE))
    if text is None:
        raise DataError(f"{folder} has no {STATISTICS_FILE}: run preprocessing again")
    try:
        return Statistics.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{folder}/{STATISTICS_FILE} is damaged: {error}") from error


def open_one(folder: str) -> Manifest:
    """Reads the manifest of one example set on any file system.

    Raises:
        DataError: if there is none, or it cannot be read.
    """
    if not is_remote(folder):
        return read_manifest(folder)
    text = read_text(join(folder, MANIFEST_FILE))
    if text is None:
        raise DataError(
            f"{folder} is not an example set: it has no {MANIFEST_FILE}. Run"
            " `python -m preprocessing run JOB` first, or name another folder"
        )
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{folder}/{MANIFEST_FILE} is damaged: {error}") from error


def check_fits(
    manifest: Manifest, job: Job, *, folder: str, any_sampling: bool = False
) -> None:
    """Checks that an example set has the features, labels and ids of `job`.

    Args:
        manifest: of the example set.
        job: that wants to read it.
        folder: named in the message.
        any_sampling: accept another sampling policy (its rows say their keep rate).

    Raises:
        DataError: naming what differs.
    """
    found, expected = dict(manifest.contract), data_contract(job)
    if any_sampling:
        found["sampling"] = expected["sampling"]
    check_same_contract(found, expected, what=f"the example set {folder}")
    if manifest.late_labels and not job.late_labels:
        raise DataError(
            f"the example set {folder} has several rows for an impression, by which its"
            " labels come late, and the job would take each for an impression of its"
            " own: set stream.join.observe, as the job that made the set does"
        )


def split_of(folder: str, manifest: Manifest, name: str) -> ExampleSplit:
    """Returns a split, after checking that its files are there and of the right size.

    Raises:
        DataError: if the split is absent or empty, or a file is missing or was cut.
    """
    split = manifest.splits.get(name)
    filled = [key for key, value in manifest.splits.items() if value.rows]
    if split is None or not split.rows:
        state = "absent" if split is None else "empty"
        raise DataError(
            f"the split {name!r} of {folder} is {state}, splits with rows:"
            f" {filled or 'none'}. Change preprocessing.split in the job and run"
            " preprocessing again, or name another split"
        )
    if not is_remote(folder):
        check_shards(Path(folder), split)
        return split
    for shard in split.shards:
        size = file_size(join(folder, shard.path))
        if size != shard.bytes:
            found = "is missing" if size is None else f"has {size} bytes"
            raise DataError(
                f"{join(folder, shard.path)} {found}, expected {shard.bytes} bytes:"
                " run preprocessing again"
            )
    return split
