"""Numbers the records of logs that have no ids or times of their own.

A field whose column is `$row` is read from no column: as an id it is the path of the
file and the number of the record in it, as a time the number of the record in
milliseconds, with a thousand million for each file of the log before. Files whose
records are numbered are not cut, so that numbers do not depend on the size of blocks.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.data import ROW_NUMBER
from preprocessing.blocks import Block
from preprocessing.fields import Field

__all__ = ["columns_read", "numbered", "with_row_numbers"]

_ROWS_PER_FILE = 1_000_000_000


def numbered(fields: Sequence[Field]) -> bool:
    """Returns whether a field is the number of the record."""
    return any(field.column == ROW_NUMBER for field in fields)


def columns_read(fields: Sequence[Field]) -> list[Field]:
    """Returns the fields that are read from columns."""
    return [field for field in fields if field.column != ROW_NUMBER]


def with_row_numbers(
    table: pa.Table, fields: Sequence[Field], block: Block, first_row: int
) -> pa.Table:
    """Adds the fields that are numbers of records, in the order of `fields`.

    Args:
        table: of the other fields, as reading yields it.
        fields: all of them.
        block: that the records are from.
        first_row: number of the first record, from 0, in the block.
    """
    if not numbered(fields):
        return table
    first = block.first_row + first_row
    rows = pa.array(np.arange(first, first + table.num_rows))
    columns = {name: table[name] for name in table.column_names}
    for field in fields:
        if field.column != ROW_NUMBER:
            continue
        if field.kind == "time":
            columns[field.name] = pc.add(rows, block.file.number * _ROWS_PER_FILE)
        else:
            text = rows.cast(pa.string())
            columns[field.name] = pc.binary_join_element_wise(
                block.file.path, text, ":"
            )
    order = [field.name for field in fields]
    order += [name for name in table.column_names if name not in order]
    return pa.table({name: columns[name] for name in order})
