"""Publishes a folder whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import DataError

__all__ = ["flush_path", "publish_folder", "write_text_atomically"]


@contextmanager
def publish_folder(
    target: str | Path, *, overwrite: bool = False, mark: str | None = None
) -> Iterator[Path]:
    """Yields a new folder beside `target`, which becomes `target` when the block ends.

    If the block raises, the new folder is removed and what was there stays. Files are
    flushed to disk before the rename, so that a crash leaves no empty ones.

    Args:
        target: the folder to publish; its parents are made.
        overwrite: replace an existing folder instead of refusing.
        mark: a file (or a pattern) that every folder of this kind holds. A folder
            without it is another, such as the user's logs: only replaced if empty.

    Raises:
        DataError: if `target` exists and `overwrite` is false, or is no folder, or a
            folder of another kind.
    """
    target = Path(target)
    if not target.name:
        raise DataError(f"'{target}' has no name, expected a folder to make: name one")
    if target.exists() and not overwrite:
        raise DataError(
            f"{target} exists already: remove it, choose another folder, or say"
            " --overwrite to replace it"
        )
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file, expected a folder: choose another folder")
    if mark is not None and target.exists() and not any(target.glob(mark)):
        _check_empty(target, mark)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _flush(partial)
        _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_text_atomically(path: str | Path, text: str) -> None:
    """Writes a small file so that a reader sees the old text or the new, never half."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    flush_path(partial)
    os.replace(partial, path)


def _check_empty(target: Path, mark: str) -> None:
    found = sorted(path.name for path in target.iterdir())
    if found:
        raise DataError(
            f"{target} holds other files ({', '.join(found[:3])}) and no {mark}, so it"
            " is not replaced: choose another folder, or remove it yourself"
        )


def _replace(partial: Path, target: Path) -> None:
    if not target.exists():
        os.rename(partial, target)
    else:
        # A folder cannot replace another in one call; the old one steps aside first.
        retired = target.with_name(f".{target.name}.retired-{os.getpid()}")
        os.rename(target, retired)
        try:
            os.rename(partial, target)
        except BaseException:
            os.rename(retired, target)
            raise
        shutil.rmtree(retired)
    flush_path(target.parent)


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        flush_path(path)


def flush_path(path: Path) -> None:
    """Writes a file, or the names in a folder, to disk for good."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
