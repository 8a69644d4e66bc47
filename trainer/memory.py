"""How much memory training takes on each device, before it takes it."""

from collections.abc import Iterable

import keras

from trainer.assembly import Assembly

__all__ = ["memory_estimate"]

_MEBIBYTE = 2**20


def memory_estimate(assembly: Assembly, devices: int) -> str:
    """Returns a line for the user; with mirroring every device holds a copy."""
    tables = _bytes(assembly.model.table_variables)
    slots = assembly.tables.slot_bytes()
    others = _bytes(assembly.model.variables) - tables
    optimizer = _bytes(assembly.dense.variables)
    rows = sum(int(v.shape[0]) for v in assembly.model.table_variables)
    total = tables + slots + others + optimizer
    return (
        f"memory on each of {devices} device(s): {_mib(total)} ="
        f" tables {_mib(tables)} ({rows:,} rows), their slots {_mib(slots)},"
        f" other weights {_mib(others)}, their slots {_mib(optimizer)};"
        " activations and input come on top"
    )


def _bytes(variables: Iterable[keras.Variable]) -> int:
    return sum(
        int(v.value.shape.num_elements()) * v.value.dtype.size for v in variables
    )


def _mib(count: int) -> str:
    return f"{count / _MEBIBYTE:,.1f} MiB"
