"""The features of a job: what the logs hold, and how a model embeds it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from configs.canonical import CategoricalType
from configs.durations import Duration
from configs.section import Key, Section
from configs.times import TimeUnit
from configs.timezones import check_timezone

__all__ = [
    "Bucketize",
    "CategoricalFeature",
    "CrossedFeature",
    "DenseFeature",
    "Embedding",
    "Feature",
    "Group",
    "MultiValuedFeature",
    "NumericFeature",
    "SequenceFeature",
    "SequenceField",
    "TimeFeature",
    "TimeSpan",
    "Transform",
    "Vocabulary",
    "embedded_features",
]

Group = Literal["user", "item", "context"]
"""What a feature describes. Sequences are always of the group `behaviour`."""

Transform = Literal["log1p", "standardize"]
"""`log1p` is sign(x) * log(1 + |x|); `standardize` subtracts the training split's mean
and divides by its standard deviation (of the value after the transforms before it)."""

TimeSpan = Literal["ms", "s", "m", "h", "d"]
"""The unit of an age."""


class Vocabulary(Section):
    """Rows for the values seen in training often enough; all others share one row."""

    min_count: PositiveInt = 1
    """Rows of the training split (weighted by 1/keep rate) that a value needs."""
    max_size: PositiveInt | None = None
    """At most so many values, the most frequent ones."""
    spare: NonNegativeInt = 0
    """Rows besides for values that a stream brings: each gets one when it has been seen
    there `min_count` times, until all are given away. Batch runs leave them alone."""


class Embedding(Section):
    """How the model turns a categorical value into a vector."""

    dim: PositiveInt | None = None
    """Width; `model.embedding_dim` unless given here."""
    buckets: PositiveInt | None = None
    """Rows of the table; a value's row is its fingerprint modulo this."""
    vocabulary: Vocabulary | None = None
    """Instead of buckets: a row for each frequent value, and one for the rest."""

    @model_validator(mode="after")
    def _one_of_buckets_and_vocabulary(self) -> "Embedding":
        if (self.buckets is None) == (self.vocabulary is None):
            raise ValueError("give either 'buckets' or 'vocabulary', and not both")
        return self


class _Column(Section):
    """A feature read from the column of its own name, unless `column` names another."""

    column: str | None = None


class _LogColumn(_Column):
    table: str | None = None
    """The table (`data.tables`) that has the column; else the impression log has it.
    A request then names the value `<table>_<column>`."""

    def raw_name(self, name: str) -> str:
        """Returns the name in requests of the column of the feature called `name`."""
        column = self.column or name
        return column if self.table is None else f"{self.table}_{column}"


class _Categorical(_Column):
    type: CategoricalType = "string"
    """`int64` where the logs hold integers: 7, "7" and "07" are then the same value."""
    embedding: Embedding | None = None
    shares: str | None = None
    """The categorical feature whose table (and type) this one uses."""

    @model_validator(mode="after")
    def _one_of_embedding_and_shares(self) -> "_Categorical":
        if (self.embedding is None) == (self.shares is None):
            raise ValueError(
                "give either 'embedding', or 'shares' with the feature whose table is"
                " to be used, and not both"
            )
        return self


class CategoricalFeature(_Categorical, _LogColumn):
    """One value of many, or missing."""

    kind: Literal["categorical"]
    group: Group = "context"


class MultiValuedFeature(_Categorical, _LogColumn):
    """A set of values (tags, say); their embeddings are pooled."""

    kind: Literal["multi_valued"]
    group: Group = "context"
    max_length: PositiveInt = 32
    """Values beyond this many are cut off, and counted."""
    pooling: Literal["mean", "sum"] = "mean"
    """With `weights` a weighted mean or sum."""
    weights: str | None = None
    """Column (of the same log or table) with a weight for each value, not negative; a
    missing weight is 1."""
    separator: str = Field(default="|", min_length=1)
    """Splits the text in formats without lists (CSV, TSV)."""

    @property
    def raw_weights(self) -> str:
        """The name of the weights in requests, if there are any."""
        column = self.weights or ""
        return column if self.table is None else f"{self.table}_{column}"


class Bucketize(Section):
    """Turns a number into a bucket with an embedding; missing values have their own."""

    boundaries: list[float] | None = None
    """Strictly increasing; bucket k holds boundaries[k-1] <= x < boundaries[k]."""
    scheme: Literal["log2"] | None = None
    """Instead of boundaries: bucket sign(x) * floor(log2(1 + |x|)), at most +-31."""
    quantiles: int | None = Field(default=None, ge=2, le=1000)
    """Instead of boundaries: so many buckets, each with the same share of the training
    split (weighted by 1/keep rate) as far as its values allow, to a thousandth."""
    dim: PositiveInt | None = None
    """Width of the embedding; `model.embedding_dim` unless given here."""

    @model_validator(mode="after")
    def _check(self) -> "Bucketize":
        given = [self.boundaries, self.scheme, self.quantiles]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give one of 'boundaries', 'scheme' and 'quantiles'")
        if self.boundaries is not None and (
            not self.boundaries or sorted(set(self.boundaries)) != self.boundaries
        ):
            raise ValueError(
                f"'boundaries' must be strictly increasing, got {self.boundaries}"
            )
        return self

    @property
    def num_buckets(self) -> int:
        """Number of buckets, the one for missing values (number 0) included."""
        if self.quantiles is not None:
            return self.quantiles + 1
        if self.boundaries is None:
            return 64
        return len(self.boundaries) + 2


class CrossedFeature(Section):
    """The combination of the values of several categorical features, as one value.

    Its fingerprint is that of their canonical texts, joined; a missing value is a value
    like any other here. Logs and requests need not hold it.
    """

    kind: Literal["crossed"]
    group: Group = "context"
    of: list[str] = Field(min_length=2)
    """Names of categorical or time features."""
    embedding: Embedding

    @property
    def shares(self) -> None:
        """None: the table is its own."""
        return None


class TimeFeature(_LogColumn):
    """The hour of the day or the day of the week of a time, on the clocks of a zone.

    The time is the impression's unless `column` names another. A request holds the
    time, in the unit of the log.
    """

    kind: Literal["time"]
    group: Group = "context"
    part: Literal["hour", "weekday"]
    """`hour` is 0 to 23; `weekday` is 1 (Monday) to 7."""
    timezone: str
    """An IANA name, such as `Europe/Copenhagen` or `UTC`. Daylight saving time and
    other changes are those of the tz database where preprocessing and export run."""
    unit: TimeUnit | None = None
    """Of `column`; `ms` unless given."""
    dim: PositiveInt | None = None
    """Width of the embedding; `model.embedding_dim` unless given here."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        check_timezone(name)
        return name

    @model_validator(mode="after")
    def _check(self) -> "TimeFeature":
        if self.unit is not None and self.column is None and self.table is None:
            raise ValueError(
                "'unit' belongs to a 'column'; that of the impression's time is"
                " ids.time.unit"
            )
        return self

    @property
    def values(self) -> int:
        """Number of different values, missing left out."""
        return 24 if self.part == "hour" else 7


class NumericFeature(_LogColumn):
    """One number, or missing."""

    kind: Literal["numeric"]
    group: Group = "context"
    transform: list[Transform] = []
    """Applied in order. A single name stands for a list of one."""
    missing: Literal["mean", "indicator"] = "mean"
    """A missing value becomes the training mean; `indicator` adds a 0/1 input."""
    bucketize: Bucketize | None = None
    """Enter the model as an embedding of its bucket instead of as a number."""

    @field_validator("transform", mode="before")
    @classmethod
    def _accept_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "NumericFeature":
        if len(set(self.transform)) != len(self.transform):
            raise ValueError(f"a transform is named twice: {self.transform}")
        if self.bucketize is not None and (
            self.transform or self.missing == "indicator"
        ):
            raise ValueError(
                "'bucketize' takes the raw number and has a bucket for missing values:"
                " remove 'transform' and 'missing'"
            )
        return self


class DenseFeature(_LogColumn):
    """A vector of fixed length (an embedding made elsewhere, say)."""

    kind: Literal["dense"]
    group: Group = "context"
    length: PositiveInt
    separator: str = Field(default="|", min_length=1)
    """Splits the text in formats without lists (CSV, TSV)."""


class SequenceField(_Column):
    """One aligned field of a behaviour sequence.

    The impression log has it in the column `<sequence>_<field>`, unless `column` names
    another. Where the sequence is built (`from`), the column is one of the behaviour's
    row: that of the feature it shares, unless `column` names another; and a number
    without a column is the age of the behaviour. Requests name it
    `<sequence>_<field>` then.
    """

    kind: Literal["categorical", "numeric"] = "categorical"
    type: CategoricalType | None = None
    embedding: Embedding | None = None
    shares: str | None = None
    transform: list[Literal["log1p"]] = []
    row: Literal["impression", "event"] | None = None
    """Of a built sequence: which row has the column, the event's own, or that of the
    impression it answers. The impression's unless given, where events answer one."""
    unit: TimeSpan | None = None
    """Of the age of a behaviour (a number without a column); hours unless given."""

    @field_validator("transform", mode="before")
    @classmethod
    def _accept_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> "SequenceField":
        if self.kind == "numeric" and (self.embedding or self.shares or self.type):
            raise ValueError("a numeric field takes no 'embedding', 'shares' or 'type'")
        if self.kind == "numeric" and self.unit and self.column:
            raise ValueError("'unit' is that of an age, which has no 'column'")
        if self.kind == "categorical":
            if self.transform or self.unit:
                raise ValueError("a categorical field takes no 'transform' or 'unit'")
            if (self.embedding is None) == (self.shares is None):
                raise ValueError("give either 'embedding' or 'shares', and not both")
            if self.shares is not None and self.type is not None:
                raise ValueError("'shares' takes the type too: remove 'type'")
        return self


class SequenceFeature(Section):
    """A user's behaviours, oldest first, each with the same aligned fields.

    The first field must be categorical: where it is missing there is no behaviour.
    The most recent `max_length` behaviours are kept.
    """

    kind: Literal["sequence"]
    group: Literal["behaviour"] = "behaviour"
    source: str = Field(default="log", alias="from")
    """`log`: each impression was logged with its sequence. Else a label with an event
    log (`data.events`) or a log of `data.behaviours`: the sequence is built of the
    user's events strictly before the impression."""
    gap: Duration = "0s"
    """A built sequence holds the events before the impression's time less this, as far
    as logs and profiles lag behind when a request is served."""
    max_length: PositiveInt
    fields: dict[Key, SequenceField] = Field(min_length=1)
    separator: str = Field(default="|", min_length=1)
    """Splits the text in formats without lists (CSV, TSV)."""

    @model_validator(mode="after")
    def _first_field_is_categorical(self) -> "SequenceFeature":
        first = next(iter(self.fields))
        if self.fields[first].kind != "categorical":
            raise ValueError(
                f"the first field, {first!r}, tells which positions hold a behaviour"
                " and must be categorical: put a categorical field first"
            )
        return self

    @property
    def built(self) -> bool:
        """Whether the sequence is built of events, and not in the impression log."""
        return self.source != "log"

    def column_of(self, name: str, field: str) -> str:
        """Returns the name of `field` in requests, for the sequence called `name`; and
        in the impression log, if that has the sequence."""
        column = None if self.built else self.fields[field].column
        return column or f"{name}_{field}"


Feature = Annotated[
    CategoricalFeature
    | MultiValuedFeature
    | CrossedFeature
    | TimeFeature
    | NumericFeature
    | DenseFeature
    | SequenceFeature,
    Field(discriminator="kind"),
]


def embedded_features(
    features: dict[str, Feature],
) -> Iterator[tuple[str, _Categorical | CrossedFeature | SequenceField]]:
    """Yields each categorical input with its dotted name (`history.item`), in order."""
    for name, feature in features.items():
        if isinstance(feature, _Categorical | CrossedFeature):
            yield name, feature
        elif isinstance(feature, SequenceFeature):
            for field, definition in feature.fields.items():
                if definition.kind == "categorical":
                    yield f"{name}.{field}", definition
