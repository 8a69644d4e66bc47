"""What the streaming join remembers, on disk.

    intent.json     the micro-batch that was begun last: its ranges, and the clock
    commit.json     the last one that is done, and all that the next goes on from; it
                    replaces the one before in one step
    carry/NUMBER/   open impressions (narrow), events and behaviours that may still
                    change, written anew by every micro-batch
    rows/           encoded features of open impressions, files that never change
    settled/        segments of what is done with, which never change
    work/           of the micro-batch in the making

Files that the commit does not list are of a micro-batch that did not come to its end,
or of one before the last, and are removed.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import DataError
from configs.manifest import sha256_of
from configs.publishing import flush_path, write_text_atomically
from preprocessing.stream.arrivals import Frozen
from preprocessing.stream.segments import Segment

__all__ = ["Commit", "Intent", "State"]


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A micro-batch that is to be made.

    Attributes:
        batch: its number, from 0.
        clock: time of day when it was decided on, ms since the epoch.
        frozen: what it reads.
        continues: digest of the commit that it goes on from, None of the first.
    """

    batch: int
    clock: int
    frozen: Frozen
    continues: str | None = None


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A micro-batch that is done.

    Attributes:
        batch: its number.
        contract: what the next one must have in common with it.
        watermark: time by which windows are closed, ms; None before the first record.
        positions: where each partition was read to.
        newest: latest time of each partition, ms.
        latest: of all impressions and events, ms; None before the first.
        carried: records of each log that are undecided, by `<log>`.
        recent: records and dead letters of each log lately.
        segments: by kind.
        rows: of each file of encoded features, by number.
        digests: SHA-256 of every file of the state, by path inside.
    """

    batch: int
    contract: dict[str, Any]
    watermark: int | None
    positions: dict[str, int]
    newest: dict[str, int]
    latest: int | None
    carried: dict[str, int] = field(default_factory=dict)
    recent: dict[str, tuple[float, float]] = field(default_factory=dict)
    segments: dict[str, list[Segment]] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Returns the commit as JSON, the same text for the same contents."""
        return json.dumps(asdict(self), sort_keys=True, indent=1) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()


class State:
    """The folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out.

        Raises:
            DataError: if there is one.
        """
        with open(self.root / "lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{self.root} is in use by another process: a stream is joined by"
                    " one at a time. End that one, or name another stream.join.state"
                ) from None
            yield

    def carry(self, batch: int) -> Path:
        """Returns the folder of what a micro-batch carries."""
        return self.root / "carry" / f"{batch:08}"

    def rows(self, number: int) -> Path:
        """Returns a file of encoded features."""
        return self.root / "rows" / f"{number:016}.arrow"

    @property
    def work(self) -> Path:
        """The folder of the micro-batch in the making."""
        return self.root / "work"

    def read_commit(self) -> Commit | None:
        """Returns the last commit, None before the first.

        Raises:
            DataError: if it is damaged.
        """
        record = self._read("commit.json")
        if record is None:
            return None
        segments = {
            kind: [Segment(**segment) for segment in found]
            for kind, found in record["segments"].items()
        }
        rows = {int(number): count for number, count in record["rows"].items()}
        recent = {log: (read, dead) for log, (read, dead) in record["recent"].items()}
        return Commit(
            **{**record, "segments": segments, "rows": rows, "recent": recent}
        )

    def read_intent(self) -> Intent | None:
        """Returns the last intent, None before the first.

        Raises:
            DataError: if it is damaged.
        """
        record = self._read("intent.json")
        if record is None:
            return None
        return Intent(**{**record, "frozen": Frozen.from_json(record["frozen"])})

    def write_intent(self, intent: Intent) -> None:
        """Writes an intent, for good."""
        text = json.dumps(asdict(intent), indent=1) + "\n"
        write_text_atomically(self.root / "intent.json", text)
        flush_path(self.root)

    def write_commit(self, commit: Commit) -> None:
        """Writes a commit, for good, and removes what it does not list."""
        for folder in {(self.root / path).parent for path in commit.digests}:
            flush_path(folder)
        write_text_atomically(self.root / "commit.json", commit.to_text())
        flush_path(self.root)
        self.clean(commit)

    def clean(self, commit: Commit | None) -> None:
        """Removes all files that a commit does not list."""
        shutil.rmtree(self.work, ignore_errors=True)
        listed = set() if commit is None else {self.root / p for p in commit.digests}
        for folder in ("carry", "rows", "settled"):
            for path in (self.root / folder).rglob("*"):
                if path.is_file() and path not in listed:
                    path.unlink()
        for path in (self.root / "carry").glob("*"):
            if commit is None or path != self.carry(commit.batch):
                shutil.rmtree(path)

    def check(self, commit: Commit) -> None:
        """Compares all files with their digests.

        Raises:
            DataError: if one is missing or differs.
        """
        for name, digest in commit.digests.items():
            path = self.root / name
            if not path.is_file() or sha256_of(path) != digest:
                what = "was changed" if path.is_file() else "is missing"
                raise DataError(
                    f"{path} {what}: the state of the stream is damaged, and cannot go"
                    " on. Restore the folder, or begin anew with another"
                    " stream.join.state and data.examples"
                )

    def digests(self, paths: list[Path], known: dict[str, str]) -> dict[str, str]:
        """Flushes files to disk and returns their digests by path inside.

        Args:
            paths: of all files of a commit.
            known: digests of files that did not change.
        """
        found = {}
        for path in sorted(paths):
            name = str(path.relative_to(self.root))
            if name not in known:
                flush_path(path)
            found[name] = known.get(name) or sha256_of(path)
        return found

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self.root / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.root / name} cannot be read ({error}): the state of the stream"
                " is damaged. Restore the folder, or begin anew with another"
                " stream.join.state and data.examples"
            ) from error
        return record
