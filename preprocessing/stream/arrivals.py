"""What has arrived in the logs since the last micro-batch, and how it becomes files.

A log comes in *partitions* (the files of a folder, or the partitions of Kafka topics),
which only grow. A micro-batch is a range of each. Two steps, so that a crash changes
nothing:

1. `Arrivals.freeze` decides on ranges. The driver writes them into its intent, on disk,
   before anything is read for good.
2. `Arrivals.parts` gives the records of these ranges as files. It is called again with
   the same ranges after a crash, by a new process, and must then give the same records
   in the same order: whatever arrived in between is left to the next micro-batch.

Kafka is plugged in by `preprocessing.stream.kafka_logs.open_kafka_logs(job)`, which
returns an object with these methods where the job names topics. What it has to keep:

* a partition's name is any text, the same in every process (`imps/3` for partition 3 of
  the topic `imps`); positions are numbers that grow (offsets). What was never read has
  no entry in `positions`, so the first position of a partition is for `freeze` to say.
* `Range.behind` says that the partition holds more than the range. Then it holds the
  watermark back: by `Range.head`, the time of the next record, if that is known when
  the range is frozen; else by the newest time of the partition that was read so far
  (the range of this micro-batch included), which the driver keeps. A partition that is
  read to its end holds nothing back: what it has not got may not come for hours.
* `parts` may write files into `folder`, which is empty, and is removed when the
  micro-batch is done. Records of a spooled topic are lines of JSON, one message each,
  in the order of the partition; one file for each partition and range. Messages that
  are no JSON at all are written as they are (without line breaks): reading makes dead
  letters of them.

A side table is no log that arrives: the driver reads `data.tables` as it stands.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from preprocessing.files import LogFile

__all__ = ["Arrivals", "Frozen", "Part", "Range"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Of a partition, what a micro-batch reads.

    Attributes:
        log: name of the log in counters (`impressions`, `events.click`, ...).
        start: position of the first record.
        stop: position after the last one.
        behind: whether the partition holds more; then it holds the watermark back.
        head: time of the record at `stop`, ms, if `behind` and known.
    """

    log: str
    start: int
    stop: int
    behind: bool = False
    head: int | None = None


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """Ranges to be read together; part of the intent, as JSON.

    Attributes:
        ranges: by partition. Of a partition that is behind there is a range, be it an
            empty one; of one that is read to its end there need not be.
        impressions: about how many of the records are impressions.
        left: how much is unread behind the ranges, in `unit`.
        unit: what positions count ("bytes", "messages").
        gone: partitions that were read and are not there any more, to be forgotten.
            It is decided here, once: doing the micro-batch again gives the same.
    """

    ranges: dict[str, Range]
    impressions: int = 0
    left: int = 0
    unit: str = "bytes"
    gone: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to read."""
        return all(part.start == part.stop for part in self.ranges.values())

    @property
    def is_behind(self) -> bool:
        """Whether there is more to read at once."""
        return any(part.behind for part in self.ranges.values())

    def to_json(self) -> dict[str, Any]:
        """Returns what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Frozen":
        """Returns what was written."""
        ranges = {name: Range(**part) for name, part in record["ranges"].items()}
        gone = tuple(record.get("gone", ()))
        return cls(**{**record, "ranges": ranges, "gone": gone})


@dataclass(frozen=True, kw_only=True)
class Part:
    """Records of a range, as lines of a file (JSON lines), or as a whole file.

    Attributes:
        partition: that they are of.
        file: that holds them.
        start: first byte of a range of lines; 0 of a whole file.
        stop: byte after the last line; None for the whole file.
    """

    partition: str
    file: LogFile
    start: int = 0
    stop: int | None = None


class Arrivals(Protocol):
    """The logs of a job, as they come."""

    def freeze(self, positions: Mapping[str, int], max_records: int) -> Frozen:
        """Decides what the next micro-batch reads.

        Args:
            positions: where each partition was read to.
            max_records: of all partitions together, about; more only where a file can
                only be read whole. Partitions that are behind in event time come first,
                so that none runs ahead of the others.
        """

    def parts(self, frozen: Frozen, folder: Path) -> list[Part]:
        """Returns the records of ranges that were frozen, always the same ones.

        Args:
            frozen: by this process, or an earlier one.
            folder: empty, for files of the micro-batch's time.

        Raises:
            DataError: if they are there no more, or have changed.
        """

    def positions(self, before: Mapping[str, int], frozen: Frozen) -> dict[str, int]:
        """Returns where each partition is read to after `frozen`, but for those that
        it says are gone. Nothing else is looked at: it is asked again after a crash."""
