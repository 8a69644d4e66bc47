"""Versions as a publisher sees them: where they come from, and their removal."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from serving.specification import EXTRA
from serving.versions import complete_versions

__all__ = ["Origin", "origin_of", "remove_version", "sweep_versions"]

_LEFT_OVER = re.compile(r"\.\d+\.(?:partial|removed|retired)-(\d+)")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a version comes from.

    Attributes:
        run: absolute path of the run.
        step: of the checkpoint.
    """

    run: str
    step: int


def origin_of(version: Path) -> Origin | None:
    """Reads the export report of a version; None if it has none of ours."""
    try:
        report = json.loads((version / EXTRA / "export.json").read_text("utf-8"))
        return Origin(run=os.path.abspath(report["run"]), step=int(report["step"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_version(models: Path, number: int) -> None:
    """Removes a version: at once for those who look, then file by file."""
    folder = complete_versions(models).get(number)
    if folder is None:
        return
    gone = models / f".{number}.removed-{os.getpid()}"
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep_versions(models: Path) -> None:
    """Removes what killed processes left half written or half removed."""
    if not models.is_dir():
        return
    for path in models.iterdir():
        found = _LEFT_OVER.fullmatch(path.name)
        if found and not _is_another_process(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_another_process(number: int) -> bool:
    """Our own number was that of another process before: in containers all are 1."""
    if number == os.getpid():
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
