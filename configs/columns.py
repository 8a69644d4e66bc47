"""The raw columns that features are read from: in logs, and in prediction requests.

A request names raw values by the columns of the impression log, so that a log row is a
request. Readers of logs, the exported signature and the server's checks all follow
this one description.
"""

from dataclasses import dataclass
from typing import Any, Literal

from configs.canonical import CategoricalType
from configs.errors import JobError
from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    TimeFeature,
)
from configs.job import Job
from configs.times import TimeUnit

__all__ = ["RawColumn", "raw_columns", "raw_name"]


@dataclass(frozen=True, kw_only=True)
class RawColumn:
    """One column of raw values.

    Attributes:
        name: of the value in requests.
        type: `string` and `int64` are categorical (see `configs.canonical`), `number`
            is a float, `time` a time.
        is_list: whether a value is a list: sequences, multi-valued and dense features.
        length: exact length of the lists of a dense feature, else None.
        separator: splits the text of a list in CSV and TSV files.
        aligned_with: first column of the sequence that this one belongs to (its lists
            must be as long), or of the values that these are weights of; else None.
        table: the side table that has the column, None if the impression log has it.
        column: of the log or table, where that is not the name.
        unit: of a time, else None.
        non_negative: whether numbers must not be negative.
        built: whether the values are built of event logs, so that none of the logs
            has them; requests do.
    """

    name: str
    type: CategoricalType | Literal["number", "time"]
    is_list: bool = False
    length: int | None = None
    separator: str = "|"
    aligned_with: str | None = None
    table: str | None = None
    column: str | None = None
    built: bool = False
    unit: TimeUnit | None = None
    non_negative: bool = False

    @property
    def source(self) -> str:
        """Name of the column in its log or table."""
        return self.column or self.name


def raw_columns(job: Job) -> dict[str, RawColumn]:
    """Returns the feature columns of `job` by name, in the order of the features.

    Raises:
        JobError: if two features read one column as different types.
    """
    columns: dict[str, RawColumn] = {}
    for name in job.features:
        for column in _columns_of(job, name):
            other = columns.setdefault(column.name, column)
            if other != column:
                raise JobError(
                    f"features.{name} reads the column {column.name!r} as {column}, and"
                    f" another feature reads it as {other}: one column has one type"
                )
    return columns


def _columns_of(job: Job, name: str) -> list[RawColumn]:
    feature = job.features[name]
    if isinstance(feature, SequenceFeature):
        return _columns_of_sequence(job, name, feature)
    if isinstance(feature, CrossedFeature):
        return []
    place: dict[str, Any] = {"name": raw_name(job, name)}
    if feature.table is not None:
        place |= {"table": feature.table, "column": feature.column or name}
    if isinstance(feature, TimeFeature):
        unit = feature.unit or "ms"
        if feature.column is None and feature.table is None:
            unit = job.ids.time.unit
        return [RawColumn(type="time", unit=unit, **place)]
    if isinstance(feature, CategoricalFeature):
        return [RawColumn(type=feature.type, **place)]
    if isinstance(feature, NumericFeature):
        return [RawColumn(type="number", **place)]
    place |= {"is_list": True, "separator": feature.separator}
    if isinstance(feature, MultiValuedFeature):
        values = RawColumn(type=feature.type, **place)
        return [values, *_weights_of(feature, values)]
    return [RawColumn(type="number", length=feature.length, **place)]


def raw_name(job: Job, name: str) -> str:
    """Returns the name in requests of the column of the feature `name`, which is
    neither a sequence nor crossed."""
    feature = job.features[name]
    if isinstance(feature, SequenceFeature | CrossedFeature):
        raise TypeError(f"{name} has no column of its own")
    if isinstance(feature, TimeFeature) and feature.column is None:
        if feature.table is None:
            return job.ids.time.column
    return feature.raw_name(name)


def _weights_of(feature: MultiValuedFeature, values: RawColumn) -> list[RawColumn]:
    if feature.weights is None:
        return []
    place: dict[str, Any] = {"name": feature.raw_weights}
    if feature.table is not None:
        place |= {"table": feature.table, "column": feature.weights}
    return [
        RawColumn(
            type="number",
            is_list=True,
            separator=feature.separator,
            aligned_with=values.name,
            non_negative=True,
            **place,
        )
    ]


def _columns_of_sequence(
    job: Job, name: str, feature: SequenceFeature
) -> list[RawColumn]:
    first = feature.column_of(name, next(iter(feature.fields)))
    columns = []
    for field, definition in feature.fields.items():
        kind: CategoricalType | Literal["number"] = "number"
        if definition.kind == "categorical":
            kind = categorical_type(job, f"{name}.{field}")
        columns.append(
            RawColumn(
                name=feature.column_of(name, field),
                type=kind,
                is_list=True,
                separator=feature.separator,
                aligned_with=first,
                built=feature.built,
            )
        )
    return columns


def categorical_type(job: Job, name: str) -> CategoricalType:
    """Returns the declared type of the categorical input `name` (`history.item`)."""
    feature, _, field = job.table_owner(name).partition(".")
    owner = job.features[feature]
    if isinstance(owner, SequenceFeature):
        return owner.fields[field].type or "string"
    if isinstance(owner, CategoricalFeature | MultiValuedFeature):
        return owner.type
    raise KeyError(f"{name} is not categorical")
