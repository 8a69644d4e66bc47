"""The sequences that are built of event logs: which column each field is read from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from configs.canonical import CategoricalType
from configs.data import EventLog
from configs.features import (
    CategoricalFeature,
    MultiValuedFeature,
    SequenceFeature,
    SequenceField,
    TimeSpan,
)
from configs.section import suggestion

if TYPE_CHECKING:
    from configs.job import Job

__all__ = [
    "BehaviourColumn",
    "BehaviourSource",
    "age_unit",
    "behaviour_column",
    "behaviour_sources",
    "built_sequences",
    "history_problems",
]


@dataclass(frozen=True, kw_only=True)
class BehaviourColumn:
    """A column that a field of a built sequence is read from.

    Attributes:
        name: of the column, as its log has it, or (`inherited`) as requests name it.
        row: whose row has it: the event's, or that of the impression it answers.
        type: of its values.
        inherited: whether it is the column of the feature that the field shares.
    """

    name: str
    row: Literal["impression", "event"]
    type: CategoricalType | Literal["number"]
    inherited: bool = False


@dataclass(frozen=True, kw_only=True)
class BehaviourSource:
    """An event log that sequences are built of.

    Attributes:
        name: of the log: a label, or a key of `data.behaviours`.
        answers: whether its events answer impressions.
        user: its column with the user, None if the impression names the user.
        columns: that the sequences need.
        max_length: of the longest sequence.
    """

    name: str
    answers: bool
    user: str | None
    columns: tuple[BehaviourColumn, ...]
    max_length: int


def built_sequences(job: "Job") -> dict[str, SequenceFeature]:
    """Returns the sequences that are built of event logs, by name."""
    return {
        name: feature
        for name, feature in job.features.items()
        if isinstance(feature, SequenceFeature) and feature.built
    }


def age_unit(definition: SequenceField) -> TimeSpan | None:
    """Returns the unit of a built sequence's field that is the age of the behaviour;
    None for other fields."""
    if definition.kind != "numeric" or definition.column is not None:
        return None
    return definition.unit or "h"


def behaviour_column(job: "Job", name: str, field: str) -> BehaviourColumn | None:
    """Returns where a field of the built sequence `name` is read from; None for the
    age of the behaviour, which has no column."""
    feature = built_sequences(job)[name]
    definition = feature.fields[field]
    if age_unit(definition) is not None:
        return None
    row = definition.row or (
        "event" if feature.source in job.data.behaviours else "impression"
    )
    kind: CategoricalType | Literal["number"] = "number"
    owner = job.features.get(definition.shares or "")
    if definition.kind == "categorical":
        kind = definition.type or "string"
        if isinstance(owner, CategoricalFeature | MultiValuedFeature):
            kind = owner.type
    if definition.column is not None:
        return BehaviourColumn(name=definition.column, row=row, type=kind)
    if not isinstance(owner, CategoricalFeature):
        raise KeyError(f"{name}.{field} has no column")
    shared = definition.shares or ""
    if row == "event":
        return BehaviourColumn(name=owner.column or shared, row=row, type=kind)
    return BehaviourColumn(
        name=owner.raw_name(shared), row=row, type=kind, inherited=True
    )


def behaviour_sources(job: "Job") -> dict[str, BehaviourSource]:
    """Returns the event logs that sequences of `job` are built of, by name."""
    columns: dict[str, dict[BehaviourColumn, None]] = {}
    lengths: dict[str, int] = {}
    for name, feature in built_sequences(job).items():
        source = feature.source
        lengths[source] = max(lengths.get(source, 0), feature.max_length)
        for field in feature.fields:
            column = behaviour_column(job, name, field)
            if column is not None:
                columns.setdefault(source, {})[column] = None
    sources = {}
    for name, length in lengths.items():
        log = job.data.behaviours.get(name) or job.data.events[name]
        sources[name] = BehaviourSource(
            name=name,
            answers=isinstance(log, EventLog),
            user=log.user,
            columns=tuple(columns[name]),
            max_length=length,
        )
    return sources


def history_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong between sequences and the logs that they are built of."""
    for name, feature in job.features.items():
        if isinstance(feature, SequenceFeature):
            found = _built_problems if feature.built else _logged_problems
            yield from found(job, f"features.{name}", feature)
    used = {feature.source for feature in built_sequences(job).values()}
    for name in job.data.behaviours:
        if name in job.labels or name == "log":
            yield (
                f"data.behaviours.{name}: the name is taken by a label"
                if name in job.labels
                else "data.behaviours.log: 'from: log' means the impression log"
            )
        elif name not in used:
            yield (
                f"data.behaviours.{name}: no sequence has 'from: {name}': add one, or"
                " remove the log"
            )


def _logged_problems(job: "Job", place: str, feature: SequenceFeature) -> Iterator[str]:
    if feature.gap != type(feature).model_fields["gap"].default:
        yield f"{place}.gap: the sequence is not built, but logged (from: log)"
    for field, definition in feature.fields.items():
        if definition.row or definition.unit:
            yield (
                f"{place}.fields.{field}: 'row' and 'unit' are for sequences that are"
                " built of events (from: click, say)"
            )


def _built_problems(job: "Job", place: str, feature: SequenceFeature) -> Iterator[str]:
    known = [*job.data.events, *job.data.behaviours]
    if feature.source not in known:
        yield (
            f"{place}.from: no event log {feature.source!r} in data.events or"
            f" data.behaviours.{suggestion(feature.source, ['log', *known])}"
        )
    if job.ids.user is None:
        yield f"{place}.from: whose events? Name the column of the user in ids.user"
    for field, definition in feature.fields.items():
        inner = f"{place}.fields.{field}"
        if definition.row == "impression" and feature.source in job.data.behaviours:
            yield f"{inner}.row: events of data.behaviours answer no impression"
        owner = job.features.get(definition.shares or "")
        if definition.kind == "numeric" and definition.column is None:
            if definition.row is not None:
                yield f"{inner}.row has no effect: a number without column is the age"
        elif definition.column is None and not isinstance(owner, CategoricalFeature):
            yield (
                f"{inner}: in which column do the events have it? Give 'column' (with"
                " 'row'), or 'shares' with a categorical feature"
            )
        elif (
            definition.column is None
            and isinstance(owner, CategoricalFeature)
            and owner.table is not None
            and (definition.row == "event" or feature.source in job.data.behaviours)
        ):
            yield (
                f"{inner}: {definition.shares!r} is read from a table, not from events:"
                " give the 'column' of the event log"
            )
