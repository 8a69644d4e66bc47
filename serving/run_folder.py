"""What a publisher sees of a training run: its checkpoints, as files.

Training goes on meanwhile: it removes checkpoints, and makes new ones. A published one
is kept in `<run>/published/<version>/` by hard links, so that it costs no space while
the run has it too, and `<run>/published/served.json` says which one is served.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import CheckpointError
from configs.publishing import write_text_atomically

__all__ = ["Checkpoint", "RunFolder", "read_checkpoint"]

_STATE, _INDEX = "state.json", "variables.index"
_CANDIDATE = ".candidate"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        folder: where it is.
        step: after which it was written.
        rows: of the stream that were learned; None outside of streams.
        written: when, in seconds since the epoch.
        digest: of its state and of the checksums of its variables.
    """

    folder: Path
    step: int
    rows: int | None
    written: float
    digest: str


class RunFolder:
    """The folder of a run, which need not exist yet.

    Args:
        folder: `data.run` of the job.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.published = self.folder / "published"
        self.metrics_file = self.folder / "metrics.jsonl"

    def checkpoint(self, which: str = "last") -> Checkpoint | None:
        """Returns the checkpoint `last`, `best`, or of a step; None if it is not
        there, or was removed while it was read.

        Raises:
            CheckpointError: if `which` is none of these.
        """
        if which not in ("last", "best") and not which.isdecimal():
            raise CheckpointError(
                f"no checkpoint is called {which!r}: expected last, best or a step"
            )
        folder = self.folder / "checkpoints"
        try:
            steps = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
        except OSError:
            return None
        last = read_checkpoint(folder / f"{steps[-1]:08d}") if steps else None
        if last is None or which == "last":
            return last
        if which == "best":
            best = _state(last.folder).get("best")
            step = int(best["step"]) if best else last.step
        else:
            step = int(which)
        return read_checkpoint(folder / f"{step:08d}")

    def kept(self, version: int) -> Checkpoint | None:
        """Returns the checkpoint of a published version, None if it is not kept."""
        return read_checkpoint(self.published / str(version))

    def kept_versions(self) -> list[int]:
        """Returns the versions whose checkpoints are kept."""
        if not self.published.is_dir():
            return []
        return [int(p.name) for p in self.published.iterdir() if p.name.isdigit()]

    def link(self, checkpoint: Checkpoint, version: int) -> Checkpoint:
        """Links a checkpoint as the one to make a version of, whole or not at all; it
        is kept from `accept` on.

        Raises:
            CheckpointError: if training removed or replaced it meanwhile.
            OSError: if it cannot be linked or copied.
        """
        target = self._candidate(version)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        try:
            for path in sorted(checkpoint.folder.iterdir()):
                _link(path, target / path.name)
            found = read_checkpoint(target)
        except FileNotFoundError:
            found = None
        except BaseException:
            self.drop(version)
            raise
        if found is None or found.digest != checkpoint.digest:
            self.drop(version)
            raise CheckpointError(
                f"{checkpoint.folder} was removed while it was read: training has a"
                " newer one"
            )
        return found

    def accept(self, version: int) -> None:
        """Keeps the linked checkpoint of a version that has appeared, if there is one.

        Raises:
            OSError: if it cannot be renamed.
        """
        if self._candidate(version).is_dir():
            shutil.rmtree(self.published / str(version), ignore_errors=True)
            self._candidate(version).rename(self.published / str(version))

    def drop(self, version: int) -> None:
        """Removes the linked checkpoint of a version that did not appear."""
        shutil.rmtree(self._candidate(version), ignore_errors=True)

    def forget(self, version: int) -> None:
        """Removes the checkpoint that was kept for a version."""
        shutil.rmtree(self.published / str(version), ignore_errors=True)

    def candidates(self) -> list[int]:
        """Returns the versions for which a checkpoint is linked."""
        found = self.published.glob(f".*{_CANDIDATE}")
        numbers = [path.name[1:].removesuffix(_CANDIDATE) for path in found]
        return [int(number) for number in numbers if number.isdecimal()]

    def _candidate(self, version: int) -> Path:
        return self.published / f".{version}{_CANDIDATE}"

    def say_served(self, version: int | None) -> None:
        """Tells the trainer which version is served; None: none of this run.

        Raises:
            OSError: if the file cannot be written.
        """
        path = self.published / "served.json"
        kept = None if version is None else self.kept(version)
        if kept is None:
            path.unlink(missing_ok=True)
            return
        text = json.dumps({"version": version, "step": kept.step}) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text_atomically(path, text)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Reads what a checkpoint says of itself; None if it is not there (any more)."""
    try:
        content = (folder / _STATE).read_bytes()
        index = (folder / _INDEX).read_bytes()
        written = (folder / _STATE).stat().st_mtime
        state = json.loads(content)
        rows = (state.get("stream") or {}).get("rows")
        return Checkpoint(
            folder=folder,
            step=int(state["step"]),
            rows=None if rows is None else int(rows),
            written=written,
            digest=hashlib.sha256(content + index).hexdigest()[:16],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _state(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # Another file system, or one without links.
        shutil.copy2(source, target)
