"""A source of batches over the files of an example set.

A batch is a function of (seed, epoch, row): the shards of a split are read in an order
that depends on seed and epoch, their rows are shuffled in blocks by a hash of the same
(`trainer.inputs.records`), and a position names the row of that order at which to go
on. Going on reads the block that holds the row, and passes over what lies before it in
its shards.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from configs.errors import DataError
from configs.job import Job
from configs.layout import ExampleLayout, layout_of
from configs.manifest import ExampleSplit, Manifest, Shard
from trainer.inputs.diagnosis import explain_damage
from trainer.inputs.example_set import (
    check_fits,
    digest_of,
    open_sets,
    read_as_one,
    split_of,
)
from trainer.inputs.examples import Batch
from trainer.inputs.parts import parse_parts
from trainer.inputs.records import BlockShuffle, ordered_batches, shuffled_batches
from trainer.stream.state import SetMark

__all__ = ["ExampleFiles", "Position"]

_PREFETCHED = 2
"""Batches made ahead. A number, because tf.data's autotuning stalls at the end of a
dataset for up to several seconds on a busy machine."""

_PARSED_AT_ONCE = min(8, max(1, len(os.sched_getaffinity(0)) // 4))
"""Batches parsed side by side. One thread parses far more rows than two cores can train
on; only where many cores (and so a GPU) train would it be too few."""


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
        folder: of the example set, or of several days; a path, or s3:// and the like.
        split: train, validation or test.
        job: whose features the rows must have.
        batch_size: rows of a batch over all devices; the last one of an epoch may be
            smaller.
        shares: devices of all workers; each batch is cut into so many parts, of equal
            size but for the last ones, which may have fewer rows or none.
        workers: processes that divide the shares among them, as many to each.
        worker: number of this process; only its shares are parsed and yielded.
        seed: of the order of shards and of rows inside blocks; None keeps the order of
            the manifest.
        block: rows of a shuffled block; 0 keeps the order inside shards, as no seed
            does. Rows of a context that losses of the job compare stay side by side.
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
        workers: int = 1,
        worker: int = 0,
        seed: int | None = None,
        block: int = 0,
        any_sampling: bool = False,
    ) -> None:
        self.folder = folder
        self.split_name = split
        days = job.data.days if folder == job.data.examples else None
        sets = open_sets(folder, days)
        self.manifest: Manifest = read_as_one(sets, folder)
        check_fits(self.manifest, job, folder=folder, any_sampling=any_sampling)
        self.split: ExampleSplit = split_of(folder, self.manifest, split)
        self.layout: ExampleLayout = layout_of(job)
        self.batch_size = batch_size
        self.last_set = _mark(*list(sets.items())[-1], split)
        self._shares = shares
        own = shares // workers
        self._own = range(worker * own, (worker + 1) * own)
        self._seed = seed
        self._shuffle = _block_shuffle(self.layout, job.context, seed, block)

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return self.split.rows

    @property
    def order(self) -> str:
        """What the order of rows depends on besides files and seed, in words."""
        if self._shuffle is None:
            return "shards"
        kept = self._shuffle.context
        together = "" if kept is None else f", each {self.layout.ids[kept]} together"
        return f"blocks of {self._shuffle.rows} rows{together}"

    def rows_at(self, row: int) -> int:
        """Returns the rows, over all devices, of the batch that begins at `row`."""
        return min(self.batch_size, self.rows - row)

    @property
    def digest(self) -> str:
        """SHA-256 over the files, by which a resumed run knows its data again."""
        return digest_of(self.split)

    @property
    def element_spec(self) -> tuple[dict[str, tf.TensorSpec], ...]:
        """The type of what `batches` yields."""
        _, *parts = self._parse.structured_outputs
        return tuple(
            {key: tf.TensorSpec(t.shape, t.dtype) for key, t in part.items()}
            for part in parts
        )

    def batches(self, position: Position | None = None) -> Iterator[tuple[Batch, ...]]:
        """Yields the batches of an epoch from `position` on.

        A batch is a tuple of parts, one for each device of this worker.

        Raises:
            DataError: if a file turns out to be damaged or to have another number of
                rows than the manifest says.
        """
        position = position or Position()
        shards = self.shards_of(position.epoch)
        row = position.row
        try:
            for rows, *parts in self._dataset(shards, position):
                if int(rows) != self.rows_at(row):
                    raise self._wrong_count(shards, row + int(rows))
                row += int(rows)
                yield tuple(parts)
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

    def _dataset(self, shards: list[Shard], position: Position) -> tf.data.Dataset:
        """Yields the rows of each whole batch, and its parts for this worker."""
        where = (self.folder, shards, position.row, self.batch_size)
        if self._shuffle is None or not shards:
            serialized = ordered_batches(*where)
        else:
            serialized = shuffled_batches(
                *where, epoch=position.epoch, shuffle=self._shuffle
            )
        batches = serialized.map(
            tf.autograph.experimental.do_not_convert(self._parse),
            num_parallel_calls=_PARSED_AT_ONCE,
            deterministic=True,
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        options.deterministic = True
        return batches.prefetch(_PREFETCHED).with_options(options)

    @cached_property
    def _parse(self) -> Any:
        """A function from serialized [B] to the rows of the whole batch and the own
        parts. It is traced once, however often the files are opened."""

        def parse(serialized: tf.Tensor) -> tuple[tf.Tensor | Batch, ...]:
            parts = parse_parts(serialized, self.layout, self._shares, self._own)
            return tf.size(serialized), *parts

        signature = [tf.TensorSpec([None], tf.string)]
        traced = tf.function(parse, input_signature=signature, autograph=False)
        return traced.get_concrete_function()

    def _wrong_count(self, shards: list[Shard], row: int) -> DataError:
        damage = explain_damage(self.folder, shards, self.layout, None)
        return DataError(
            f"{self.folder}: read {row} rows of the split {self.split_name!r}, the"
            f" manifest says {self.rows}. {damage}"
        )


def _mark(name: str, manifest: Manifest, split: str) -> SetMark:
    return SetMark(name=name, digest=digest_of(manifest.splits.get(split)))


def _block_shuffle(
    layout: ExampleLayout, context: str | None, seed: int | None, block: int
) -> BlockShuffle | None:
    if seed is None or not block:
        return None
    return BlockShuffle(
        seed=seed,
        rows=block,
        context=None if context is None else layout.ids.index(context),
        ids=len(layout.ids),
    )
