"""The features of a job: what the logs hold, and how a model embeds it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from configs.canonical import CategoricalType
from configs.durations import Duration
from configs.section import Key, Section

__all__ = [
    "Bucketize",
    "CategoricalFeature",
    "DenseFeature",
    "Embedding",
    "Feature",
    "Group",
    "MultiValuedFeature",
    "NumericFeature",
    "SequenceFeature",
    "SequenceField",
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
    separator: str = Field(default="|", min_length=1)
    """Splits the text in formats without lists (CSV, TSV)."""


class Bucketize(Section):
    """Turns a number into a bucket with an embedding; missing values have their own."""

    boundaries: list[float] | None = None
    """Strictly increasing; bucket k holds boundaries[k-1] <= x < boundaries[k]."""
    scheme: Literal["log2"] | None = None
    """Instead of boundaries: bucket sign(x) * floor(log2(1 + |x|)), at most +-31."""
    dim: PositiveInt | None = None
    """Width of the embedding; `model.embedding_dim` unless given here."""

    @model_validator(mode="after")
    def _check(self) -> "Bucketize":
        if (self.boundaries is None) == (self.scheme is None):
            raise ValueError("give either 'boundaries' or 'scheme', and not both")
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
        if self.boundaries is None:
            return 64
        return len(self.boundaries) + 2


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
    | NumericFeature
    | DenseFeature
    | SequenceFeature,
    Field(discriminator="kind"),
]


def embedded_features(
    features: dict[str, Feature],
) -> Iterator[tuple[str, _Categorical | SequenceField]]:
    """Yields each categorical input with its dotted name (`history.item`), in order."""
    for name, feature in features.items():
        if isinstance(feature, _Categorical):
            yield name, feature
        elif isinstance(feature, SequenceFeature):
            for field, definition in feature.fields.items():
                if definition.kind == "categorical":
                    yield f"{name}.{field}", definition
