"""What is read from each log, and as what.

A field is one use of a column; one column may have several (a user's id is also a
feature). Reading yields one Arrow column for each field, called `Field.name`:

    kind                    Arrow type       missing
    id, string, int64       string           "" (canonical text, see configs.canonical)
    number, truth           double           NaN
    time                    int64            none; milliseconds since the epoch
    moment                  int64            NO_TIME; milliseconds since the epoch
    flag                    int8             0
    label                   int8             none; 0 or 1
    lists of text           list<string>     empty list; "" inside
    lists of numbers        list<double>     empty list; NaN inside
"""

from dataclasses import dataclass
from typing import Literal

from configs.columns import RawColumn, raw_columns
from configs.data import EventLog
from configs.histories import BehaviourColumn, behaviour_sources
from configs.job import Job
from configs.times import TimeUnit

__all__ = [
    "IMPRESSIONS",
    "USER",
    "Field",
    "FieldKind",
    "behaviour_log_name",
    "event_fields",
    "event_log_name",
    "field_of",
    "fields_by_log",
    "id_field",
    "impression_fields",
    "impression_values",
    "key_field",
    "label_field",
    "raw_field",
    "table_feature_fields",
    "table_fields",
    "table_log_name",
    "truth_field",
    "value_name",
]

FieldKind = Literal[
    "id", "string", "int64", "number", "time", "moment", "flag", "label", "truth"
]

IMPRESSIONS = "impressions"
"""Name of the impression log in counters and dead letters."""

USER = "user"
"""Field of an event's user; in narrow impressions and behaviours its fingerprint."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One use of a column.

    Attributes:
        name: of the column that reading yields.
        column: of the log.
        kind: what its values must be.
        unit: of a time.
        is_list: whether a value is a list.
        length: exact length of the lists of a dense vector, else None.
        separator: splits the text of a list in CSV and TSV files.
        aligned_with: name of the field whose lists must be as long, else None.
        non_negative: whether numbers must not be negative.
        latest: a time beyond is in the future, ms (`preprocessing.future`); None where
            there is none.
    """

    name: str
    column: str
    kind: FieldKind
    unit: TimeUnit = "ms"
    is_list: bool = False
    length: int | None = None
    separator: str = "|"
    aligned_with: str | None = None
    non_negative: bool = False
    latest: int | None = None

    @property
    def required(self) -> bool:
        """Whether a record without a value is dead."""
        return self.kind in ("id", "time", "label")

    @property
    def is_text(self) -> bool:
        """Whether reading yields canonical text."""
        return self.kind in ("id", "string", "int64")


def id_field(name: str) -> str:
    """Returns the field of an id (event, user, item, request)."""
    return f"id/{name}"


def label_field(label: str) -> str:
    """Returns the field of a label that the impression log holds."""
    return f"label/{label}"


def truth_field(label: str) -> str:
    """Returns the field of a label's true probability."""
    return f"truth/{label}"


def raw_field(column: str) -> str:
    """Returns the field of a feature column."""
    return f"raw/{column}"


def key_field(table: str) -> str:
    """Returns the field of the impressions that names a row of a side table."""
    return f"key/{table}"


def table_log_name(table: str) -> str:
    """Returns the name of a side table in counters and dead letters."""
    return f"tables.{table}"


def event_log_name(label: str) -> str:
    """Returns the name of a label's event log in counters and dead letters."""
    return f"events.{label}"


def behaviour_log_name(name: str) -> str:
    """Returns the name of a log of `data.behaviours` in counters and dead letters."""
    return f"behaviours.{name}"


def impression_fields(job: Job) -> list[Field]:
    """Returns the fields of the impression log."""
    ids = job.ids
    fields = [
        Field(name="time", column=ids.time.column, kind="time", unit=ids.time.unit)
    ]
    for name in ("event", "user", "item", "request", "session"):
        column = getattr(ids, name)
        if column is not None:
            fields.append(Field(name=id_field(name), column=column, kind="id"))
    for name, label in job.labels.items():
        if label.column is not None:
            fields.append(
                Field(name=label_field(name), column=label.column, kind="label")
            )
        if label.truth is not None:
            fields.append(
                Field(name=truth_field(name), column=label.truth, kind="truth")
            )
    columns = raw_columns(job).values()
    fields += [
        _feature_field(column)
        for column in columns
        if column.table is None and not column.built
    ]
    fields += [
        _value_field(column)
        for column in impression_values(job)
        if field_of(job, column) == value_name(column)
    ]
    for name, table in job.data.tables.items():
        column_name = table.matches or table.key
        fields.append(Field(name=key_field(name), column=column_name, kind="string"))
    return fields


def table_fields(job: Job, table: str) -> list[Field]:
    """Returns the fields of a side table."""
    section = job.data.tables[table]
    fields = [Field(name="key", column=section.key, kind="id")]
    if section.time is not None:
        time = section.time
        fields.append(
            Field(name="time", column=time.column, kind="time", unit=time.unit)
        )
    if section.deleted is not None:
        fields.append(Field(name="deleted", column=section.deleted, kind="flag"))
    return fields + table_feature_fields(job, table)


def table_feature_fields(job: Job, table: str) -> list[Field]:
    """Returns the fields of a side table that features are read from."""
    columns = raw_columns(job).values()
    return [_feature_field(column) for column in columns if column.table == table]


def _feature_field(column: RawColumn) -> Field:
    aligned = column.aligned_with
    return Field(
        name=raw_field(column.name),
        column=column.source,
        kind="moment" if column.type == "time" else column.type,
        unit=column.unit or "ms",
        is_list=column.is_list,
        length=column.length,
        separator=column.separator,
        aligned_with=None if aligned is None else raw_field(aligned),
        non_negative=column.non_negative,
    )


def event_fields(job: Job, name: str) -> list[Field]:
    """Returns the fields of the event log of a label, or of one of
    `data.behaviours`."""
    log = job.data.behaviours.get(name) or job.data.events[name]
    fields = [
        Field(name="time", column=log.time.column, kind="time", unit=log.time.unit)
    ]
    if log.event is not None:
        fields.append(Field(name="event", column=log.event, kind="id"))
    if isinstance(log, EventLog):
        fields.append(Field(name="key", column=log.key, kind="id"))
    source = behaviour_sources(job).get(name)
    if source is None:
        return fields
    if source.user is not None:
        fields.append(Field(name=USER, column=source.user, kind="id"))
    own = [_value_field(c) for c in source.columns if c.row == "event"]
    return fields + own


def value_name(column: BehaviourColumn) -> str:
    """Returns the name of a behaviour's value in tables, and of its own field."""
    return f"{column.row}/{column.name}/{column.type}"


def impression_values(job: Job) -> list[BehaviourColumn]:
    """Returns the columns of impressions that behaviours take."""
    found: dict[BehaviourColumn, None] = {}
    for source in behaviour_sources(job).values():
        found.update((c, None) for c in source.columns if c.row == "impression")
    return list(found)


def field_of(job: Job, column: BehaviourColumn) -> str:
    """Returns the field of impressions that has a behaviour's column: that of the
    feature that has it too, or one of its own."""
    raw = raw_columns(job).get(column.name)
    same = (
        raw is not None
        and not raw.is_list
        and raw.type == column.type
        and (column.inherited or raw.table is None)
    )
    return raw_field(column.name) if same else value_name(column)


def _value_field(column: BehaviourColumn) -> Field:
    return Field(name=value_name(column), column=column.name, kind=column.type)


def fields_by_log(job: Job) -> dict[str, list[Field]]:
    """Returns the fields of every log of `job`, by name of the log."""
    fields = {IMPRESSIONS: impression_fields(job)}
    for label in job.data.events:
        fields[event_log_name(label)] = event_fields(job, label)
    for name in job.data.behaviours:
        fields[behaviour_log_name(name)] = event_fields(job, name)
    for table in job.data.tables:
        fields[table_log_name(table)] = table_fields(job, table)
    return fields
