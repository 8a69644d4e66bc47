"""The example sets of a stream's folder: which comes next, and is it the one it was."""

import os
import time
from dataclasses import dataclass

from configs.days import day_of_name, merge_manifests
from configs.errors import DataError
from configs.job import Job
from configs.manifest import MANIFEST_FILE, Manifest, Shard
from configs.stream_sets import number_of_set, set_name
from trainer.inputs.adjacency import check_adjacent
from trainer.inputs.example_set import check_fits, digest_of, open_one, split_of
from trainer.inputs.filesystems import file_size, is_remote, join, names_in
from trainer.inputs.stream_source import StreamPosition
from trainer.stream.options import stream_options
from trainer.stream.state import SetMark

__all__ = ["EXPIRED", "SPLIT", "OpenedSet", "StreamSets", "is_later"]

SPLIT = "train"
"""What a stream is learned from; its own scores stand in for validation."""

EXPIRED = "expired_sets"
"""Counts the sets that were gone before they were read."""

_LIST_SECONDS = 5.0
"""Between two looks at all names of the folder."""

_COUNTED_AT_ONCE = 200
"""Manifests read for the lag in one go."""


@dataclass(frozen=True, kw_only=True)
class OpenedSet:
    """A set that is read.

    Attributes:
        name: of its folder.
        folder: its path.
        rows: of its training split.
        digest: of the files of that split.
        shards: in reading order; empty if only the end of the set is known.
        manifest: None if the set is gone, which was read to its end.
        published: when its manifest was written, in ms, where that is known.
    """

    name: str
    folder: str
    rows: int
    digest: str
    shards: list[Shard]
    manifest: Manifest | None
    published: int | None = None

    def position(self, row: int) -> StreamPosition:
        """Returns the position before a row."""
        return {
            "set": self.name,
            "row": row,
            "rows": self.rows,
            "digest": self.digest,
        }


class StreamSets:
    """The sets in `data.examples` of a job, in order.

    Args:
        job: the job.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._root = job.data.examples
        self._listed_at = -_LIST_SECONDS
        self._listed: list[str] = []
        self._rows: dict[str, int] = {}
        self._rows_at = -_LIST_SECONDS

    def behind(self, mark: SetMark) -> StreamPosition:
        """Returns the position behind a set that a batch run was trained on to its end.

        Empty, if that was no set of this folder: a single set, which a stream may go
        on from with the first one of its own.
        """
        if not mark.name:
            return {}
        rows = 0
        if self.has(mark.name):
            rows = self._open(mark.name).rows
        return {"set": mark.name, "row": rows, "rows": rows, "digest": mark.digest}

    def known_again(self, position: StreamPosition) -> OpenedSet:
        """Returns the set of a position.

        Raises:
            DataError: if it is another set by now, or is gone before its end.
        """
        name, rows = str(position["set"]), int(position["rows"])
        if not self.has(name):
            if any(not is_later(other, name) for other in self._names()):
                raise DataError(
                    f"{self._root} has sets from before {name}, the last one learned"
                    " from, and not that one: it is another folder than it was. Name"
                    " the old one in data.examples, or start again with --overwrite"
                )
            if position["row"] < rows:
                raise DataError(
                    f"{join(self._root, name)} is gone, and only {position['row']:,} of"
                    f" its {rows:,} rows are learned. Put it back, or keep more sets"
                    " (stream.join.keep_sets)"
                )
            return OpenedSet(
                name=name,
                folder=join(self._root, name),
                rows=rows,
                digest=str(position["digest"]),
                shards=[],
                manifest=None,
            )
        found = self._open(name)
        if found.digest != position["digest"]:
            raise DataError(
                f"{found.folder} is another example set than the one that was learned"
                " from: it was made again since. Going on would learn rows twice, or"
                " never; put the old one back, or start again with --overwrite"
            )
        return found

    def after(
        self, current: OpenedSet | None
    ) -> tuple[OpenedSet | None, dict[str, int]]:
        """Returns the set that follows, if it is published, and what was lost between.

        Raises:
            DataError: if the one that follows is gone and `expired` is `fail`, or does
                not fit the job or the one before.
        """
        name = self._name_after(None if current is None else current.name)
        if name is None:
            return None, {}
        lost = self._lost(current, name)
        if lost and stream_options(self._job).expired == "fail":
            raise DataError(
                f"{self._root}: {lost} set(s) before {name} are gone that were not"
                " learned from. Keep more sets (stream.join.keep_sets), or go on"
                " without them: stream.train.expired: earliest"
            )
        opened = self._open(name)
        before = None if current is None else current.manifest
        if before is not None and current is not None and opened.manifest is not None:
            # Raises if they were made with different jobs, or do not follow each other.
            merge_manifests({current.name: before, name: opened.manifest}, self._root)
        return opened, {EXPIRED: lost} if lost else {}

    def rows_after(self, name: str | None) -> int:
        """Returns the rows of the sets behind `name`, as far as they are counted."""
        if time.monotonic() - self._rows_at >= _LIST_SECONDS:
            self._rows_at = time.monotonic()
            self._count(name)
        later = {n: r for n, r in self._rows.items() if is_later(n, name)}
        self._rows = later
        return sum(later.values())

    def _count(self, name: str | None) -> None:
        new = [n for n in self._names() if n not in self._rows and is_later(n, name)]
        for one in new[:_COUNTED_AT_ONCE]:
            if self.has(one):
                split = open_one(join(self._root, one)).splits.get(SPLIT)
                self._rows[one] = 0 if split is None else split.rows

    def _name_after(self, name: str | None) -> str | None:
        """Returns the name of the next complete set."""
        number = None if name is None else number_of_set(name)
        if number is not None and self.has(set_name(number + 1)):
            return set_name(number + 1)
        if time.monotonic() - self._listed_at >= (0.0 if number is None else 1.0):
            self._listed_at = time.monotonic()
            self._listed = self._names()
        for one in self._listed:
            if is_later(one, name) and self.has(one):
                break
        else:
            return None
        # Sets are published in order: what was not there a moment ago may be now.
        if number is not None and self.has(set_name(number + 1)):
            return set_name(number + 1)
        return one

    def _lost(self, current: OpenedSet | None, name: str) -> int:
        number = number_of_set(name)
        if current is None or number is None:
            return 0
        before = number_of_set(current.name)
        return number - (0 if before is None else before + 1)

    def _names(self) -> list[str]:
        if is_remote(self._root):
            names = names_in(self._root)
        else:
            names = os.listdir(self._root) if os.path.isdir(self._root) else []
        if MANIFEST_FILE in names:
            raise DataError(
                f"{self._root} is one example set, and a stream reads a folder of sets"
                " (numbered ones, or days): name such a folder in data.examples. A run"
                " that was trained on this one can go on with it"
            )
        return sorted(filter(_is_set, names), key=_order)

    def has(self, name: str) -> bool:
        """Returns whether a set of this name is published."""
        path = join(join(self._root, name), MANIFEST_FILE)
        if is_remote(path):
            return file_size(path) is not None
        return os.path.isfile(path)

    def _open(self, name: str) -> OpenedSet:
        folder = join(self._root, name)
        manifest = open_one(folder)
        check_fits(manifest, self._job, folder=folder)
        split = manifest.splits.get(SPLIT)
        rows = 0 if split is None else split.rows
        if rows:
            check_adjacent(manifest, self._job, folder=folder)
            split = split_of(folder, manifest, SPLIT)
        path = join(folder, MANIFEST_FILE)
        return OpenedSet(
            name=name,
            folder=folder,
            rows=rows,
            digest=digest_of(split),
            shards=[] if split is None else split.shards,
            manifest=manifest,
            published=None if is_remote(path) else int(os.path.getmtime(path) * 1_000),
        )


def _is_set(name: str) -> bool:
    return day_of_name(name) is not None or number_of_set(name) is not None


def _order(name: str) -> tuple[bool, str]:
    return number_of_set(name) is not None, name


def is_later(name: str, than: str | None) -> bool:
    """Returns whether a set comes behind another; behind None all do."""
    return than is None or _order(name) > _order(than)
