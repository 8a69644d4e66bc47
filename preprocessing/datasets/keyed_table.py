"""A small table of a data set, held in memory and looked up by its key."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.errors import DataError
from preprocessing.datasets.delimited import Layout, read_batches

__all__ = ["KeyedTable"]

Integers = npt.NDArray[np.int64]


class KeyedTable:
    """The lines of a file by a column of whole numbers, each there once.

    Args:
        path: the file.
        layout: of the file.
        key: the column that names a line.

    Raises:
        DataError: if the file is not of the layout, or a key is there twice.
    """

    def __init__(self, path: Path, layout: Layout, key: str) -> None:
        table = pa.Table.from_batches(
            [batch for _, batch in read_batches(path, layout)]
        )
        order = np.argsort(table[key].to_numpy(), kind="stable")
        self.table = table.take(pa.array(order)).combine_chunks()
        """All columns, in the order of the key."""
        self._keys: Integers = self.table[key].to_numpy()
        again = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        if len(again):
            # Equal keys are in the order of their lines.
            line = int(order[again[0] + 1]) + 1 + layout.header
            raise DataError(
                f"{path}, line {line}: the {key} {self._keys[again[0]]} is there a"
                " second time, expected once. Remove one of the lines"
            )

    def places(self, keys: Integers) -> Integers:
        """Returns the place of each key in `table`, or -1."""
        places = np.searchsorted(self._keys, keys)
        places = np.minimum(places, len(self._keys) - 1)
        found: Integers = np.where(self._keys[places] == keys, places, -1)
        return found

    def columns(self, places: Integers, names: list[str]) -> dict[str, pa.Array]:
        """Returns columns of the lines at `places`; null where a place is -1."""
        rows = self.table.select(names).take(pa.array(places, mask=places < 0))
        return {name: rows[name].combine_chunks() for name in names}
