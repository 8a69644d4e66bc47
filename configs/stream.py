"""Streams: logs that never end, learned from and published while they come."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from configs.durations import Duration
from configs.kafka import Kafka
from configs.preprocess import DeadLetters
from configs.section import Section

__all__ = ["Gate", "Publish", "Stream", "StreamJoin", "StreamTraining"]


class StreamJoin(Section):
    """`python -m preprocessing stream`: joins labels to impressions as they come, in
    small batches that are redone exactly after a crash."""

    topics: dict[str, str] = {}
    """Kafka topics of the logs: `impressions`, and each event log by its label (or
    behaviour log by its name). A message is one JSON object, as a line of a JSONL log.
    Without any the files of `data` are read, as they appear."""
    state: str
    """Folder of what the join has to remember: open impressions, positions."""
    interval: Duration = "10s"
    """At most one batch in so long."""
    max_records: PositiveInt = 500_000
    """Records of a batch, of all logs together."""
    lateness: Duration = "1m"
    """How much later than its time a record may come. Impressions wait for so long
    after their windows."""
    future: Duration = "5m"
    """A record that is stamped further ahead of the clock is a dead letter, and moves
    no window."""
    observe: Duration | None = None
    """Impressions leave so long after their time with the labels known by then; a
    positive that comes later, and the end of the window without one, follow as further
    rows (delayed feedback). Unless given each leaves once, when its labels are
    decided."""
    real_negatives: bool = True
    """Whether rows leave that tell only that windows ended without a positive. Tasks
    that learn from `settled` rows need them, and so do metrics; with nothing but
    `observations: fnw` in a job they are half of the rows."""
    memory: Duration = "1d"
    """How long impressions are known after their longest window: for duplicates and
    late events."""
    keep_sets: PositiveInt | None = None
    """Newest example sets that are kept; all unless given. The trainer must have read
    what is removed."""
    expired: Literal["fail", "earliest"] = "fail"
    """What to do when Kafka has dropped records that were not read yet: end with an
    error, or go on with the earliest left and say how many were lost."""
    away: Duration = "10m"
    """How long a Kafka broker may be away before the join ends with an error."""


class StreamTraining(Section):
    """`python -m trainer stream`: each window of rows is first predicted and scored,
    then learned from."""

    window_rows: PositiveInt = 16_384
    """Rows of a window."""
    window_wait: Duration = "1m"
    """A window that has rows, but does not fill, is closed after so long."""
    checkpoint_windows: PositiveInt = 10
    """Windows between checkpoints. What came after the last one is learned again after
    a crash, in the same order."""
    starts_with: str | None = None
    """Example set whose statistics and vocabularies a new model is built with;
    `data.examples` unless given. A run of `trainer train` has its own."""
    slices: list[str] = []
    """Categorical features; metrics are given for their most frequent values too."""
    item_ages: list[Duration] = []
    """Ages such as `[1d, 7d]`; metrics are given for items that the stream saw first
    less than a day before, less than 7 days, and earlier. Needs `ids.item`."""
    expired: Literal["fail", "earliest"] = "fail"
    """What to do when Kafka has dropped messages that were not read yet: end with an
    error, or go on with the earliest left and count the loss."""
    away: Duration = "10m"
    """How long a Kafka broker may be away before training ends with an error."""
    engine: Literal["exact", "tensorflow_io"] = "exact"
    """Reads Kafka. `exact` trains on each message once, whatever happens;
    `tensorflow_io` loses what it has fetched when it is killed."""
    dead_letters: DeadLetters = DeadLetters()
    """Messages that are no examples of this job."""


class Gate(Section):
    """What a checkpoint must show on the last windows before it is published."""

    windows: PositiveInt = 3
    """Last windows that are looked at."""
    min_rows: NonNegativeInt = 1_000
    """Rows that those must have together."""
    calibration: PositiveFloat = 0.1
    """Mean predicted / mean observed may differ from 1 by so much, beyond what chance
    explains."""
    log_loss: NonNegativeFloat = 0.01
    """By how much, relative, the log loss may exceed that of the served version on the
    same windows."""
    max_age: Duration = "1h"
    """A checkpoint older than this is not published."""


class Publish(Section):
    """`python -m serving publish`: exports checkpoints, through the gate."""

    every: Duration = "10m"
    """Between versions, at least."""
    rows: PositiveInt | None = None
    """Rows learned between versions, at least."""
    keep_versions: PositiveInt = Field(default=5, ge=2)
    """Newest versions kept; the one that is served is never removed."""
    gate: Gate = Gate()


class Stream(Section):
    """A job on streams. Kafka is asked for by topics; without them folders are read."""

    kafka: Kafka | None = None
    """Brokers of the topics below."""
    join: StreamJoin | None = None
    examples_topic: str | None = None
    """Kafka topic of serialized examples: the join writes them there too, and the
    trainer reads them there. Unless given the trainer reads `data.examples`, set by
    set as they are published."""
    train: StreamTraining = StreamTraining()
    publish: Publish = Publish()
