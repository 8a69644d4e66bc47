"""The manifest of an example set: what it holds, and the proof that it is whole.

An example set is a folder:

    manifest.json           this file, written last; without it there is no set
    job.yaml                the resolved job that made it
    <split>/00000.tfrecord  shards, in the order of the manifest (.gz where compressed)
    statistics.json         of numeric inputs, on the training split
    counts/<input>.parquet  of categorical inputs, on the training split
    golden/rows.jsonl       raw rows, and
    golden/examples.tfrecord  the same rows encoded
    dead_letters/<reason>.jsonl  records that could not be used
    carry_over/             of a daily run: what the day after goes on from

Daily runs (`configs.days`) make one such folder for each day.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError

from configs.errors import DataError
from configs.section import Section

__all__ = [
    "GOLDEN_EXAMPLES",
    "GOLDEN_ROWS",
    "MANIFEST_FILE",
    "STATISTICS_FILE",
    "ExampleSplit",
    "Manifest",
    "NumericStatistics",
    "Shard",
    "Statistics",
    "StreamBatch",
    "check_shards",
    "counts_file",
    "read_manifest",
    "read_statistics",
    "sha256_of",
]

MANIFEST_FILE = "manifest.json"
STATISTICS_FILE = "statistics.json"
JOB_FILE = "job.yaml"
GOLDEN_ROWS = "golden/rows.jsonl"
GOLDEN_EXAMPLES = "golden/examples.tfrecord"


def counts_file(name: str) -> str:
    """Returns the file with the counts of the input `name` (`history.item`): Parquet,
    columns `fingerprint` (int64, sorted) and `count` (float64, weighted by 1/r)."""
    return f"counts/{name}.parquet"


class _Record(Section):
    model_config = ConfigDict(strict=False)


class Shard(_Record):
    """A file of examples."""

    path: str
    rows: NonNegativeInt
    bytes: NonNegativeInt
    sha256: str


class ExampleSplit(_Record):
    """One split of an example set.

    Attributes:
        rows: number of examples.
        positives: examples with label 1, by label.
        first_time: earliest event time in milliseconds, None in an empty split.
        last_time: latest event time.
        sampled: whether negatives may have been dropped.
        dropped: negatives that were dropped.
        shards: in reading order.
    """

    rows: NonNegativeInt
    positives: dict[str, NonNegativeInt]
    first_time: int | None
    last_time: int | None
    sampled: bool
    dropped: NonNegativeInt = 0
    shards: list[Shard]


class StreamBatch(_Record):
    """Which micro-batch of a stream a set is.

    Attributes:
        batch: its number, which is that of the set too.
        watermark_ms: impressions are decided by this event time; None before the first
            record that has one.
        positions: where the logs that this batch read were read to, by file (bytes) or
            topic and partition (`imps/3`, offsets).
        topics: where its examples end that went to Kafka, by topic and partition.
    """

    batch: NonNegativeInt
    watermark_ms: int | None = None
    positions: dict[str, int] = {}
    topics: dict[str, dict[int, int]] = {}


class Manifest(_Record):
    """An example set.

    Attributes:
        version: of this schema.
        job: name of the job.
        fingerprint: of `contract`.
        contract: see `configs.contract.data_contract`.
        splits: by name (train, validation, test).
        counters: what happened to the records, by name; see the preprocessing guide.
        dead_letters: records that could not be used, by reason.
        golden_rows: number of golden rows.
        adjacent: the id (request, session, user) whose rows lie side by side; None if
            there is none, and in sets from before it was written down.
        day: of a daily run, None of others.
        carry_over: digest of what a daily run left to the day after.
        continues: the same of the day before, None if there was none.
        stream: of a set that the streaming join made, None of others. There
            `carry_over` and `continues` are digests of the join's state.
    """

    version: Literal[1] = 1
    job: str
    fingerprint: str
    contract: dict[str, Any]
    splits: dict[str, ExampleSplit]
    counters: dict[str, NonNegativeInt]
    dead_letters: dict[str, NonNegativeInt]
    golden_rows: NonNegativeInt = 0
    adjacent: str | None = None
    day: str | None = None
    carry_over: str | None = None
    continues: str | None = None
    stream: StreamBatch | None = None

    @property
    def late_labels(self) -> bool:
        """Whether an impression has several rows, since its labels come late."""
        return "streams.rows.first" in self.counters


class NumericStatistics(_Record):
    """Of one numeric input on the training split; rows weigh 1/r if negative, else 1.

    Attributes:
        weight: total weight of the rows with a value.
        missing_weight: total weight of the rows without.
        mean: of the raw value.
        stddev: of the raw value.
        log1p_mean: of sign(x) * log(1 + |x|).
        log1p_stddev: of the same.
        minimum: smallest raw value, 0 if there is none.
        maximum: largest raw value, 0 if there is none.
        quantiles: 999 of them, at each thousandth of the weight; of numbers that are
            features. Empty if no row has a value, and in sets from before they were
            written down.
    """

    weight: NonNegativeFloat
    missing_weight: NonNegativeFloat
    mean: float
    stddev: NonNegativeFloat
    log1p_mean: float
    log1p_stddev: NonNegativeFloat
    minimum: float
    maximum: float
    quantiles: list[float] = []


class Statistics(_Record):
    """Of all numeric inputs, by name (`history.age` for fields of sequences)."""

    numeric: dict[str, NumericStatistics]


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of an example set.

    Raises:
        DataError: if there is no example set in `folder`, or it cannot be read.
    """
    text = _read(Path(folder), MANIFEST_FILE, "an example set")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{folder}/{MANIFEST_FILE} is damaged: {error}") from error


def read_statistics(folder: str | Path) -> Statistics:
    """Reads the numeric statistics of an example set.

    Raises:
        DataError: if they are absent or damaged.
    """
    text = _read(Path(folder), STATISTICS_FILE, "an example set")
    try:
        return Statistics.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{folder}/{STATISTICS_FILE} is damaged: {error}") from error


def check_shards(
    folder: str | Path, split: ExampleSplit, *, deep: bool = False
) -> None:
    """Checks that the shards of a split are there and whole.

    TensorFlow reads a file that was cut between two records without an error, so the
    size is compared before anything is read; `deep` compares checksums as well.

    Raises:
        DataError: naming the first shard that is absent or differs.
    """
    for shard in split.shards:
        path = Path(folder) / shard.path
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise DataError(
                f"{path} is missing: the manifest lists it with {shard.rows} rows."
                " Run preprocessing again"
            )
        if size != shard.bytes:
            raise DataError(
                f"{path} has {size} bytes, expected {shard.bytes}: the file was cut or"
                " changed. Run preprocessing again"
            )
        if deep and sha256_of(path) != shard.sha256:
            raise DataError(
                f"{path} has another SHA-256 than the manifest says: the file was"
                " changed. Run preprocessing again"
            )


def sha256_of(path: str | Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path, name: str, what: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(
            f"{folder} is not {what}: it has no {name}. Run `python -m preprocessing"
            " run JOB` first, or name another folder"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / name} cannot be read: {error}") from error
