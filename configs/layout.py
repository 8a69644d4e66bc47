"""The layout of an example: which key holds what, in which order, as which type.

An example is a `tf.train.Example` with packed features. B is the batch, L a length:

    key                        parsed shape and dtype      holds
    labels                     [B, labels] float32         0/1 in the order of the job
    truth                      [B, labels] float32         true probabilities, or NaN
    ids                        [B, ids] int64              fingerprints, see `ids`
    event_time                 [B] int64                   milliseconds since the epoch
    event_kind                 [B] int64                   see `EventKind`
    label_kinds                [B, labels] int64           the same of each label; of
                                                           jobs with late labels alone
    elapsed                    [B] int64                   milliseconds from the event
                                                           to what is known here, or -1;
                                                           of such jobs alone
    negative_keep_rate         [B] float32                 r of the row's slice
    categorical                [B, categorical] int64      fingerprints; of a time
                                                           feature 0 where missing, or
                                                           1 and more
    numeric                    [B, numeric] float32        raw; NaN where missing
    dense                      [B, sum of lengths] float32 vectors one after another
    multi_valued/NAME          [B, L] int64                right-padded with PADDING
    multi_valued/NAME/weights  [B, L] float32              right-padded with 0
    sequence/NAME/FIELD        [B, max_length] int64       right-padded with PADDING
    sequence/NAME/FIELD        [B, max_length] float32     numeric field; NaN missing

The keys from `categorical` on are the encoded features, all that the model sees.
Fingerprints lie in [0, 2**63 - 1), so `PADDING` is none. The first field of a sequence
tells which positions hold a behaviour. `event_time` is the time of the impression in
rows of every kind.
"""

from dataclasses import dataclass
from enum import IntEnum

from configs.features import (
    CategoricalFeature,
    CrossedFeature,
    DenseFeature,
    MultiValuedFeature,
    NumericFeature,
    SequenceFeature,
    TimeFeature,
)
from configs.job import Job

__all__ = [
    "CATEGORICAL",
    "DENSE",
    "ELAPSED",
    "EVENT_KIND",
    "EVENT_TIME",
    "FINGERPRINT_RANGE",
    "IDS",
    "LABELS",
    "LABEL_KINDS",
    "NEGATIVE_KEEP_RATE",
    "NUMERIC",
    "PADDING",
    "TRUTH",
    "EventKind",
    "ExampleLayout",
    "SequenceLayout",
    "layout_of",
    "multi_valued_key",
    "sequence_key",
    "weights_key",
]

LABELS = "labels"
TRUTH = "truth"
IDS = "ids"
EVENT_TIME = "event_time"
EVENT_KIND = "event_kind"
LABEL_KINDS = "label_kinds"
ELAPSED = "elapsed"
NEGATIVE_KEEP_RATE = "negative_keep_rate"
CATEGORICAL = "categorical"
NUMERIC = "numeric"
DENSE = "dense"

PADDING = -1
"""Fills up rows of fingerprints that are shorter than others."""

FINGERPRINT_RANGE = 2**63 - 1
"""Fingerprints are FarmHash Fingerprint64 modulo this."""


class EventKind(IntEnum):
    """Which observation of an impression an example is, and what it says of a label.

    A row has the kind of its news: `FIRST`, `LATE_POSITIVE` if a label turned 1, else
    `REAL_NEGATIVE`. Its labels have kinds of their own. The last two are of labels
    alone, and rows without `label_kinds` have settled ones.
    """

    FIRST = 0
    """What is known at first; a 0 may still become 1."""
    LATE_POSITIVE = 1
    """Became 1 after the first observation."""
    REAL_NEGATIVE = 2
    """Can no longer become 1; was not known for sure at the first observation."""
    REPEATED = 3
    """As in an earlier row: this row's news are about another label."""
    SETTLED = 4
    """Known for good at the first observation."""


@dataclass(frozen=True, kw_only=True)
class SequenceLayout:
    """One behaviour sequence.

    Attributes:
        max_length: behaviours kept, the most recent ones, oldest first.
        fields: all fields in the order of the job; the first is categorical.
        numeric: the fields that are numbers.
    """

    max_length: int
    fields: tuple[str, ...]
    numeric: frozenset[str]

    @property
    def categorical(self) -> tuple[str, ...]:
        """The fields that are fingerprints, in order."""
        return tuple(field for field in self.fields if field not in self.numeric)


@dataclass(frozen=True, kw_only=True)
class ExampleLayout:
    """The order of values inside the packed keys.

    Attributes:
        labels: order of `labels` and `truth`.
        ids: order of `ids`, out of event, user, item, request, session; event comes
            first.
        categorical: feature names in the order of `categorical`: those of one value,
            crossed ones and time features.
        numeric: feature names in the order of `numeric`.
        dense: length of each vector, in the order of `dense`.
        multi_valued: maximum length of each multi-valued feature.
        sequences: by feature name.
        weighted: the multi-valued features whose values have weights.
        late: whether labels may come late, so that there are `label_kinds` and
            `elapsed`.
    """

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    dense: dict[str, int]
    multi_valued: dict[str, int]
    sequences: dict[str, SequenceLayout]
    weighted: frozenset[str] = frozenset()
    late: bool = False


def multi_valued_key(name: str) -> str:
    """Returns the key of a multi-valued feature."""
    return f"multi_valued/{name}"


def weights_key(name: str) -> str:
    """Returns the key of the weights of a multi-valued feature."""
    return f"multi_valued/{name}/weights"


def sequence_key(name: str, field: str) -> str:
    """Returns the key of a field of a sequence."""
    return f"sequence/{name}/{field}"


def layout_of(job: Job) -> ExampleLayout:
    """Derives the layout of the examples of `job`."""
    features = job.features
    sequences = {
        name: SequenceLayout(
            max_length=feature.max_length,
            fields=tuple(feature.fields),
            numeric=frozenset(
                n for n, f in feature.fields.items() if f.kind == "numeric"
            ),
        )
        for name, feature in features.items()
        if isinstance(feature, SequenceFeature)
    }
    ids = ("event", "user", "item", "request", "session")
    return ExampleLayout(
        labels=tuple(job.labels),
        ids=tuple(name for name in ids if getattr(job.ids, name) is not None),
        categorical=tuple(
            n
            for n, f in features.items()
            if isinstance(f, CategoricalFeature | CrossedFeature | TimeFeature)
        ),
        numeric=tuple(n for n, f in features.items() if isinstance(f, NumericFeature)),
        dense={n: f.length for n, f in features.items() if isinstance(f, DenseFeature)},
        multi_valued={
            n: f.max_length
            for n, f in features.items()
            if isinstance(f, MultiValuedFeature)
        },
        sequences=sequences,
        weighted=frozenset(
            n
            for n, f in features.items()
            if isinstance(f, MultiValuedFeature) and f.weights is not None
        ),
        late=job.late_labels,
    )
