"""Records set aside on disk by user, so that one bucket of users fits into memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from configs.errors import DataError
from preprocessing.datasets.draws import mix

__all__ = ["UserBuckets", "open_buckets"]

Records = npt.NDArray[np.void]


class UserBuckets:
    """Files of fixed-size records; all records of a user lie in one file.

    Args:
        folder: where the files go; it exists.
        name: of these records: several kinds may share a folder.
        fields: NumPy types of the fields; one is `user`.
        count: number of buckets.
    """

    def __init__(
        self, folder: Path, name: str, fields: dict[str, str], count: int
    ) -> None:
        self._type = np.dtype(list(fields.items()))
        self._paths = [folder / f"{name}-{number:04d}" for number in range(count)]
        self._files: list[BinaryIO] = [path.open("wb") for path in self._paths]

    def add(self, **columns: npt.NDArray[Any]) -> None:
        """Appends records, in order; all fields, [n] each.

        Raises:
            DataError: if a number does not fit into its field.
        """
        records = np.empty(len(columns["user"]), self._type)
        for name, values in columns.items():
            records[name] = values
            if not np.array_equal(records[name], values):
                raise DataError(
                    f"the {name} has values that do not fit into {self._type[name]}:"
                    f" from {values.min()} to {values.max()}"
                )
        bucket = self.bucket_of(columns["user"])
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(np.bincount(bucket, minlength=len(self._files)))
        records, start = records[order], 0
        for file, end in zip(self._files, ends, strict=True):
            file.write(records[start:end].tobytes())
            start = end

    def bucket_of(self, users: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Returns the number of each user's bucket."""
        bits = mix(0, users.astype(np.int64)) % np.uint64(len(self._files))
        return bits.astype(np.int16)

    def __iter__(self) -> Iterator[Records]:
        """Yields the records of each bucket, in the order in which they were added."""
        for file, path in zip(self._files, self._paths, strict=True):
            file.flush()
            yield np.fromfile(path, self._type)

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()


@contextmanager
def open_buckets(
    beside: str | Path, count: int, **kinds: dict[str, str]
) -> Iterator[list[UserBuckets]]:
    """Yields buckets for each kind of record, in a folder that goes when they do.

    Args:
        beside: the folder is made next to this path, where there is room for what the
            command writes.
        count: number of buckets.
        kinds: fields of each kind of record.

    Raises:
        DataError: if the number of buckets is no such number.
    """
    if not 1 <= count <= 500:
        raise DataError(f"the number of buckets is {count}, expected 1 to 500")
    parent = Path(beside).absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".buckets-", dir=parent) as folder:
        buckets = [
            UserBuckets(Path(folder), name, fields, count)
            for name, fields in kinds.items()
        ]
        try:
            yield buckets
        finally:
            for kind in buckets:
                kind.close()
