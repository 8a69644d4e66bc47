"""Which columns are ids, and which is the time."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from configs.data import ROW_NUMBER, TimeUnit
from preprocessing.planning.columns import Column, time_unit
from preprocessing.planning.wording import id_rank, is_time, time_rank, words_of

__all__ = ["Ids", "Moment", "find_ids", "find_moments", "unique_ids"]

_UNIQUE = 0.95
"""Logs hold some records twice, so ids of records are rarely all different."""


@dataclass(frozen=True)
class Moment:
    """A column of times."""

    column: str
    unit: TimeUnit
    certain: bool = True


@dataclass(kw_only=True)
class Ids:
    """The columns that identify a row.

    Attributes:
        event: of the row's own id, or `$row`.
        time: or None if there is none.
        others: columns by kind (user, item, request, session), where found.
        weak: those of `others` whose names only hint at it.
        incomplete: kinds whose column has rows without a value, with the column.
        moments: all columns of times.
    """

    event: str
    time: Moment | None
    others: dict[str, str] = field(default_factory=dict)
    weak: set[str] = field(default_factory=set)
    incomplete: dict[str, str] = field(default_factory=dict)
    moments: list[Moment] = field(default_factory=list)

    @property
    def named(self) -> set[str]:
        """The columns that are ids."""
        return {self.event, *self.others.values()}


def find_ids(columns: dict[str, Column], labels: Iterable[str]) -> Ids:
    """Guesses the ids of an impression log; columns of labels are none."""
    free = {n: c for n, c in columns.items() if n not in set(labels) and c.usable}
    moments = find_moments(free)
    times = [moment for moment in moments if free[moment.column].present.all()]
    times.sort(key=lambda moment: (not moment.certain, time_rank(moment.column)))
    events = unique_ids(free)
    ids = Ids(
        event=events[0] if events else ROW_NUMBER,
        time=times[0] if times else None,
        moments=moments,
    )
    taken = {moment.column for moment in moments} | {ids.event}
    for kind in ("user", "item", "request", "session"):
        _find_other(ids, kind, {n: c for n, c in free.items() if n not in taken})
    return ids


def find_moments(columns: dict[str, Column]) -> list[Moment]:
    """Returns the columns of times, in the order of the columns."""
    moments = []
    for name, column in columns.items():
        named = is_time(name)
        unit = time_unit(column, named=named)
        if unit is not None:
            moments.append(Moment(name, unit))
        elif _is_plain_time(name) and column.lists is None and column.integral:
            moments.append(Moment(name, "ms", certain=False))
    return moments


def unique_ids(columns: dict[str, Column]) -> list[str]:
    """Returns the columns whose names and values are those of a record's own id, the
    best first."""
    ranks: dict[str, tuple[int, float]] = {}
    for name, column in columns.items():
        if not _is_id(column) or not column.present.all():
            continue
        share = len(column.values) / len(column)
        rank = id_rank("event", name)
        if share >= _UNIQUE and (rank is not None or words_of(name)[-1:] == ["id"]):
            ranks[name] = (100 if rank is None else rank, -share)
    return sorted(ranks, key=lambda name: ranks[name])


def _find_other(ids: Ids, kind: str, columns: dict[str, Column]) -> None:
    ranks = {name: id_rank(kind, name) for name in columns}
    found = {name: rank for name, rank in ranks.items() if rank is not None}
    for name in sorted(found, key=lambda name: found[name]):
        column = columns[name]
        if name in ids.others.values() or not _is_id(column):
            continue
        if len(column.values) < 2:
            continue
        if not column.present.all():
            ids.incomplete.setdefault(kind, name)
            continue
        ids.others[kind] = name
        ids.incomplete.pop(kind, None)
        if found[name] >= 10 and kind in ("user", "item"):
            ids.weak.add(kind)
        return


def _is_id(column: Column) -> bool:
    """Whether the values are text or integers."""
    if column.lists is not None or not column.usable:
        return False
    if pa.types.is_floating(column.array.type):
        return False
    return column.numbers is None or column.integral


def _is_plain_time(name: str) -> bool:
    return "".join(words_of(name)) in ("time", "timestamp", "ts", "timestampms")
