"""Arrow columns as single arrays, which is what NumPy and most kernels want."""

import pyarrow as pa

__all__ = ["one_array"]


def one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Returns a column, in chunks or not, as one array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    # Of some columns pyarrow returns chunks even then.
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    return column
