"""Where a job's logs lie and how they are read; where its artifacts go."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from configs.days import parse_days
from configs.section import Key, Section
from configs.times import TimeUnit

__all__ = [
    "ROW_NUMBER",
    "BehaviourLog",
    "Data",
    "EventLog",
    "Identifiers",
    "LogFiles",
    "SideTable",
    "TimeColumn",
    "TimeUnit",
]

ROW_NUMBER = "$row"
"""Stands for a column that logs without ids or times lack. As an id it is the file's
path and the number of the record in it; as a time the number of the record in ms, with
a thousand million for each file of the log before."""


class TimeColumn(Section):
    """A column that holds a time. A bare name stands for a column in milliseconds."""

    column: str
    unit: TimeUnit = "ms"

    @model_validator(mode="before")
    @classmethod
    def _accept_name(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value


class LogFiles(Section):
    """Files of one kind of log. A bare path leaves the rest to the files' names."""

    path: str
    """A path or glob. Relative paths are relative to the working directory. `{day}`
    stands for the day of a daily run (2017-10-01, or `{day:%Y%m%d}` for 20171001), and
    for every day in other runs."""
    format: Literal["jsonl", "csv", "tsv", "parquet"] | None = None
    """Told by the file name (compression stripped) unless given."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Names of the columns of CSV and TSV files without a header line."""

    @model_validator(mode="before")
    @classmethod
    def _accept_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class EventLog(LogFiles):
    """A log of events (clicks, conversions) that give impressions a label."""

    event: str
    """Column with the event's own id; of several records with one id the earliest
    counts. `$row` (the number of the record) where the log has none."""
    key: str
    """Column that names what the event answers: the id of the impression, or with
    `joins: click` (say) the id of an event of that label's log."""
    time: TimeColumn
    joins: str = "impression"
    """`impression`, or the label whose events the column `key` names."""
    user: str | None = None
    """Column with the user, for sequences that are built of these events; the user of
    the impression unless given."""


class BehaviourLog(LogFiles):
    """A log of what users did (views, purchases) that gives no impression a label, and
    that sequences are built of (`from: NAME`)."""

    event: str | None = None
    """Column with the event's own id; of several records with one id the earliest
    counts. Unless given, records alike in user, time and all fields are one event."""
    user: str
    """Column with the user, as `ids.user` has it."""
    time: TimeColumn


class SideTable(LogFiles):
    """A table of users, items and the like, for features with `table: NAME`.

    An impression sees the latest row of its key at or before its own time. Of rows with
    one key and time the last one counts, in the order of the files' paths and of the
    records in them. Without `time` a table holds at all times.
    """

    key: str
    """Column that names the user, item and so on; text or an integer."""
    matches: str | None = None
    """Column of the impression log with the same values; named like `key` unless
    given."""
    time: TimeColumn | None = None
    """Column with the time from which a row holds."""
    deleted: str | None = None
    """Column that is 1 or true in rows that say that from their time on there is
    nothing about the key; missing is 0."""


class Identifiers(Section):
    """The columns of the impression log that identify a row."""

    event: str
    """Unique id of the impression; of several rows with one id the earliest counts.
    `$row` (the number of the record) where the log has none."""
    time: TimeColumn
    """`$row` where the log has none: then there are no windows, and no true times."""
    user: str | None = None
    """Groups rows for GAUC; UIM takes the same user as the same."""
    item: str | None = None
    request: str | None = None
    """Groups the impressions that were shown together."""
    session: str | None = None
    """Groups the requests of one visit; like all ids, a context for losses."""


class Data(Section):
    """Inputs and outputs of the job."""

    impressions: LogFiles
    events: dict[str, EventLog] = {}
    """By label. A label with a `column` of its own needs none."""
    behaviours: dict[Key, BehaviourLog] = {}
    """By name. Further event logs, for sequences with `from: NAME`."""
    tables: dict[Key, SideTable] = {}
    """By name. Features with `table: NAME` are read from them."""
    examples: str
    """Folder of the example set that preprocessing publishes; of daily runs the folder
    of the days' sets, which the trainer reads as one."""
    days: str | None = None
    """Of a folder of days, those that the trainer reads: `2017-10-01..2017-10-10`, both
    included. All unless given."""
    run: str
    """Folder of the training run: checkpoints, metrics, TensorBoard."""
    models: str
    """Folder under which export publishes versions of the model."""

    @field_validator("days")
    @classmethod
    def _check_days(cls, days: str | None) -> str | None:
        if days is not None:
            parse_days(days)
        return days

    @field_validator("run", "models")
    @classmethod
    def _check_local(cls, folder: str) -> str:
        if "://" in folder:
            # As a local path it would be a folder named after the scheme.
            raise ValueError(
                f"{folder} is on no local disk: runs and models are written to local"
                " folders (mount the store, or copy them there afterwards)"
            )
        return folder
