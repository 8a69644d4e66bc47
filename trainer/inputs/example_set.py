"""Opens example sets, local or remote; proves that they fit the job and are whole."""

from pathlib import Path

from pydantic import ValidationError

from configs.contract import check_same_contract, data_contract
from configs.errors import DataError
from configs.job import Job
from configs.manifest import (
    MANIFEST_FILE,
    ExampleSplit,
    Manifest,
    check_shards,
    read_manifest,
)
from trainer.inputs.filesystems import file_size, is_remote, join, read_text

__all__ = ["check_fits", "open_manifest", "split_of"]


def open_manifest(folder: str) -> Manifest:
    """Reads the manifest of an example set on any file system.

    Raises:
        DataError: if there is no example set, or it cannot be read.
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
