"""Where tables begin in the variables that they share. Row 0 belongs to padding."""

from collections.abc import Iterable
from typing import Protocol

__all__ = ["HasRows", "offsets_by_width", "places_together"]


class HasRows(Protocol):
    """What is asked of a table."""

    @property
    def name(self) -> str:
        """Name of the table."""

    @property
    def dim(self) -> int:
        """Width."""

    @property
    def rows(self) -> int:
        """Number of rows."""


def offsets_by_width(
    tables: Iterable[HasRows],
) -> tuple[dict[str, int], dict[int, int]]:
    """Returns the first row of each table, and the rows of each width."""
    offsets: dict[str, int] = {}
    total: dict[int, int] = {}
    for table in tables:
        offsets[table.name] = total.setdefault(table.dim, 1)
        total[table.dim] += table.rows
    return offsets, total or {1: 1}


def places_together(tables: Iterable[HasRows]) -> dict[str, int]:
    """Returns the first row of each table where all lie in one variable."""
    places: dict[str, int] = {}
    start = 1
    for table in tables:
        places[table.name] = start
        start += table.rows
    return places
