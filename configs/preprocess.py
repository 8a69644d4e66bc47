"""How logs become examples: sampling, split, dead letters, files."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    field_validator,
    model_validator,
)

from configs.drift import Drift
from configs.durations import DAY_MS, Duration, Moment, moment_ms
from configs.section import Section

__all__ = [
    "Daily",
    "DeadLetters",
    "HashSplit",
    "Interval",
    "KeepRate",
    "Preprocessing",
    "Sampling",
    "SamplingSlices",
    "Split",
    "TimeSplit",
]

KeepRate = Annotated[float, Field(gt=0.0, le=1.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class SamplingSlices(Section):
    """Keep rates by the value of one categorical feature."""

    feature: str
    rates: dict[str, KeepRate] = Field(min_length=1)
    """By canonical text of the value; all others use `negative_keep_rate`."""

    @field_validator("rates", mode="before")
    @classmethod
    def _accept_integers(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {str(k) if type(k) is int else k: v for k, v in value.items()}


class Sampling(Section):
    """Down-sampling of negatives in the training split.

    A row whose label `label` is 0 is kept if hash(event id, seed) / 2**63 < r, where r
    may depend on a feature but never on the label. Every row carries its r.
    """

    negative_keep_rate: KeepRate = 1.0
    slices: SamplingSlices | None = None
    seed: NonNegativeInt = 0
    label: str | None = None
    """The label whose negatives are dropped; the job's first one unless given."""

    @property
    def active(self) -> bool:
        """Whether any rate is below 1."""
        rates = list(self.slices.rates.values()) if self.slices else []
        return min([self.negative_keep_rate, *rates]) < 1.0


class Interval(Section):
    """A half-open span of time, [from, until). A bare date stands for that UTC day."""

    start: Moment | None = Field(default=None, alias="from")
    until: Moment | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_day(cls, value: Any) -> Any:
        if isinstance(value, dict) or isinstance(value, Interval):
            return value
        day = moment_ms(value)
        if day % DAY_MS:
            raise ValueError(
                f"expected a date or a mapping with 'from' and 'until', got {value!r}"
            )
        return {"from": day, "until": day + DAY_MS}

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict) and not set(values) <= {"from", "until"}:
            raise ValueError(
                f"expected the keys 'from' and 'until', got {list(values)}"
            )
        return values

    @model_validator(mode="after")
    def _in_order(self) -> "Interval":
        start, until = self.bounds
        if start >= until:
            raise ValueError(
                f"'from' ({self.start}) must lie before 'until' ({self.until})"
            )
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """Start and end in milliseconds since the epoch, infinite where left open."""
        start = float("-inf") if self.start is None else moment_ms(self.start)
        until = float("inf") if self.until is None else moment_ms(self.until)
        return start, until


class TimeSplit(Section):
    """Splits by the impression's time; rows outside every interval are counted, and
    left out."""

    by: Literal["time"]
    train: Interval
    validation: Interval | None = None
    test: Interval | None = None

    @model_validator(mode="after")
    def _disjoint(self) -> "TimeSplit":
        spans = [(n, i.bounds) for n, i in self.intervals().items()]
        for position, (name, (start, until)) in enumerate(spans):
            for other, (other_start, other_until) in spans[position + 1 :]:
                if start < other_until and other_start < until:
                    raise ValueError(f"the intervals of {name} and {other} overlap")
        return self

    def intervals(self) -> dict[str, Interval]:
        """Returns the intervals that are given, by the name of the split."""
        named = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
        }
        return {name: interval for name, interval in named.items() if interval}


class HashSplit(Section):
    """Splits by a hash of an id, so that a re-run splits alike."""

    by: Literal["hash"]
    key: Literal["event", "user", "request", "session"] = "event"
    validation: Share = 0.1
    test: Share = 0.1
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> "HashSplit":
        if self.validation + self.test >= 1.0:
            raise ValueError("'validation' and 'test' leave no rows for training")
        return self


Split = Annotated[TimeSplit | HashSplit, Field(discriminator="by")]


class DeadLetters(Section):
    """Records that could not be parsed or joined."""

    max_share: Share = 0.01
    """The job fails if more than this share of a log's records is dead."""
    max_kept: NonNegativeInt = 10_000
    """Of each reason at most this many records are kept; all are counted."""


class Daily(Section):
    """Runs over one day's logs after the other (`run --days`, `run --next-day`).

    A day's example set holds the impressions whose windows closed on that day. What is
    still open goes on to the next day, and so do the users' behaviours.
    """

    lateness: Duration = "0s"
    """How much later than its time a record may reach the logs: the log of the next
    day may hold records of this long before. Impressions wait for so long."""
    memory: Duration = "1d"
    """How long impressions are known after their longest window, and events after the
    same time: for duplicates, late events, and behaviours on them."""
    keep_carry_overs: PositiveInt = 7
    """Days that can be made again: older carry-overs are removed."""


class Preprocessing(Section):
    """The batch job from logs to examples."""

    split: Split = HashSplit(by="hash")
    sampling: Sampling = Sampling()
    dead_letters: DeadLetters = DeadLetters()
    future: Duration | None = "5m"
    """How far ahead of the clock a record may be stamped. One that is later is a dead
    letter (`future_time`): it would close the windows of all others. Null takes all,
    for logs of the future."""
    drift: Drift = Drift()
    """Compared with another example set; no part of what a set is."""
    daily: Daily = Daily()
    buckets: PositiveInt = 16
    """Hash buckets that are joined one at a time: more need less memory each."""
    broadcast_bytes: NonNegativeInt = 64 * 2**20
    """Side tables whose files are no larger are held whole by every worker. Larger
    ones are cut into `buckets` by their keys, and the impressions with them."""
    rows_per_shard: PositiveInt = 200_000
    """Rows of an example file, at most."""
    adjacent: Literal["request", "session", "user"] | None = None
    """The id whose rows lie side by side in the files, so that they meet in a batch.
    The context of the losses unless given; without a context, the request."""
    golden_rows: NonNegativeInt = 1_000
    """Rows kept raw and encoded beside the examples; export is proved on them."""
    compression: Literal["none", "gzip"] = "none"
    """Of the example files. gzip is 4 times smaller and slower to train from."""
