"""A source of batches over the files of an example set.

A batch is a function of (seed, epoch, row): the shards of a split are read one after
another in an order that depends on seed and epoch, and a position names the row of that
order at which to go on. Rows inside a shard are in the random order in which
preprocessing wrote them, so nothing else is shuffled.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from configs.errors import DataError
from configs.job import Job
from configs.layout import ExampleLayout, layout_of
from configs.manifest import ExampleSplit, Manifest, Shard
from trainer.inputs.diagnosis import explain_damage
from trainer.inputs.example_set import check_fits, open_manifest, split_of
from trainer.inputs.examples import Batch, parse_examples
from trainer.inputs.filesystems import join

__all__ = ["ExampleFiles", "Position"]

_PREFETCHED = 2
"""Batches made ahead. A number, because tf.data's autotuning stalls at the end of a
dataset for up to several seconds on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """The next row to be read.

    Attributes:
        epoch: passes over the split completed before.
        row: rows of this epoch consumed before.
    """

    epoch: int = 0
    row: int = 0


class ExampleFiles:
    """The batches of one split of an example set.

    Args:
        folder: of the example set; a path, or s3:// and the like.
        split: train, validation or test.
        job: whose features the rows must have.
        batch_size: rows of a batch over all devices; the last one of an epoch may be
            smaller.
        shares: devices; each batch comes as so many parts, of equal size but for the
            last ones, which may have fewer rows or none.
        seed: of the order of shards; None keeps the order of the manifest.
        any_sampling: see `check_fits`.

    Raises:
        DataError: if the set is absent, does not fit the job, or a file is missing or
            was cut.
    """

    def __init__(
        self,
        folder: str,
        split: str,
        job: Job,
        *,
        batch_size: int,
        shares: int = 1,
        seed: int | None = None,
        any_sampling: bool = False,
    ) -> None:
        self.folder = folder
        self.split_name = split
        self.manifest: Manifest = open_manifest(folder)
        check_fits(self.manifest, job, folder=folder, any_sampling=any_sampling)
        self.split: ExampleSplit = split_of(folder, self.manifest, split)
        self.layout: ExampleLayout = layout_of(job)
        self.batch_size = batch_size
        self._shares = shares
        self._seed = seed

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return self.split.rows

    @property
    def digest(self) -> str:
        """SHA-256 over the files, by which a resumed run knows its data again."""
        files = "".join(f"{s.path} {s.rows} {s.sha256}\n" for s in self.split.shards)
        return hashlib.sha256(files.encode()).hexdigest()

    @property
    def element_spec(self) -> tuple[dict[str, tf.TensorSpec], ...]:
        """The type of what `batches` yields."""
        spec = self._dataset([], 0).element_spec
        return tuple(spec)

    def batches(self, position: Position | None = None) -> Iterator[tuple[Batch, ...]]:
        """Yields the batches of an epoch from `position` on, one part per device.

        Raises:
            DataError: if a file turns out to be damaged or to have another number of
                rows than the manifest says.
        """
        position = position or Position()
        shards = self.shards_of(position.epoch)
        first, skipped = _locate(shards, position.row)
        row = position.row
        try:
            for parts in self._dataset(shards[first:], skipped):
                row += sum(int(part["labels"].shape[0]) for part in parts)
                yield parts
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            raise explain_damage(self.folder, shards, self.layout, error) from error
        if row != self.rows:
            raise self._wrong_count(shards, row)

    def shards_of(self, epoch: int) -> list[Shard]:
        """Returns the shards in the order in which an epoch reads them."""
        shards = list(self.split.shards)
        if self._seed is None:
            return shards
        # Sorting by a hash is the same on every version of every library.
        prefix = f"{self._seed}:{epoch}:"
        return sorted(
            shards, key=lambda s: hashlib.sha256((prefix + s.path).encode()).digest()
        )

    def _dataset(self, shards: list[Shard], skipped: int) -> tf.data.Dataset:
        paths = [join(self.folder, shard.path) for shard in shards]
        zipped = any(path.endswith(".gz") for path in paths)
        records = tf.data.TFRecordDataset(
            tf.constant(paths, tf.string), compression_type="GZIP" if zipped else ""
        )
        if skipped:
            records = records.skip(skipped)
        batches = records.batch(self.batch_size).map(self._parse)
        options = tf.data.Options()
        options.autotune.enabled = False
        options.deterministic = True
        return batches.prefetch(_PREFETCHED).with_options(options)

    def _parse(self, serialized: tf.Tensor) -> tuple[Batch, ...]:
        if self._shares == 1:
            return (parse_examples(serialized, self.layout),)
        # Every batch is cut alike, so that a device's part depends on the batch alone.
        rows = tf.size(serialized)
        share = (rows + self._shares - 1) // self._shares
        return tuple(
            parse_examples(serialized[k * share : (k + 1) * share], self.layout)
            for k in range(self._shares)
        )

    def _wrong_count(self, shards: list[Shard], row: int) -> DataError:
        damage = explain_damage(self.folder, shards, self.layout, None)
        return DataError(
            f"{self.folder}: read {row} rows of the split {self.split_name!r}, the"
            f" manifest says {self.rows}. {damage}"
        )


def _locate(shards: list[Shard], row: int) -> tuple[int, int]:
    """Returns the shard that holds `row`, and the rows of it that come before."""
    for number, shard in enumerate(shards):
        if row < shard.rows:
            return number, row
        row -= shard.rows
    return len(shards), row
