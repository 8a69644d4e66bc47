"""Plays into a folder of JSONL files that appear whole."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from configs.errors import DataError
from preprocessing.scratch import write_atomically

__all__ = ["FolderTarget"]


class FolderTarget:
    """Writes `<folder>/<log>/00000000.jsonl` and on.

    Args:
        folder: to write to.
        logs: names of the logs; each has a folder even before its first file.
        overwrite: whether files of an earlier replay are removed.

    Raises:
        DataError: if there are files, and they are not to be removed.
    """

    def __init__(self, folder: Path, logs: Sequence[str], *, overwrite: bool) -> None:
        self._folders = {log: folder / log for log in logs}
        self._files = dict.fromkeys(logs, 0)
        for path in self._folders.values():
            if path.exists() and any(path.iterdir()):
                if not overwrite:
                    raise DataError(
                        f"{path} holds files, expected a new folder: name another one,"
                        " or say --overwrite to remove them"
                    )
                shutil.rmtree(path)
            path.mkdir(parents=True, exist_ok=True)

    def write(
        self, lines: Mapping[str, list[bytes]], times: Mapping[str, Sequence[int]]
    ) -> None:
        """Writes a file for each log that has lines.

        Args:
            lines: records of each log, without line breaks.
            times: unused; of the records.
        """
        for log, records in lines.items():
            if records:
                path = self._folders[log] / f"{self._files[log]:08d}.jsonl"
                write_atomically(path, b"\n".join(records) + b"\n")
                self._files[log] += 1

    def close(self) -> None:
        """Does nothing: every file is whole."""
