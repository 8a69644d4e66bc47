"""Batches of serialized examples: shards in order, or shuffled block by block."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from configs.layout import IDS
from configs.manifest import Shard
from trainer.inputs.blocks import BlockStart, Group, groups_of, locate
from trainer.inputs.filesystems import join
from trainer.inputs.permutation import contexts_together, order_key, shuffled

__all__ = ["BlockShuffle", "ordered_batches", "shuffled_batches"]


@dataclass(frozen=True, kw_only=True)
class BlockShuffle:
    """How rows are shuffled inside blocks.

    Attributes:
        seed: of the order.
        rows: of a block.
        context: place among the ids of an example whose equal values stay side by
            side, or None.
        ids: number of ids of an example.
    """

    seed: int
    rows: int
    context: int | None
    ids: int


def ordered_batches(
    folder: str, shards: Sequence[Shard], row: int, batch_size: int
) -> tf.data.Dataset:
    """Returns batches of the shards' records from `row` on, as string [B]."""
    first, skipped = 0, row
    while first < len(shards) and skipped >= shards[first].rows:
        skipped -= shards[first].rows
        first += 1
    paths = [join(folder, shard.path) for shard in shards[first:]]
    records = tf.data.TFRecordDataset(
        tf.constant(paths, tf.string), _compression(paths)
    )
    return records.skip(skipped).batch(batch_size)


def shuffled_batches(
    folder: str,
    shards: Sequence[Shard],
    row: int,
    batch_size: int,
    *,
    epoch: int,
    shuffle: BlockShuffle,
) -> tf.data.Dataset:
    """Returns batches of an epoch from `row` on, shuffled in blocks, as string [B].

    Args:
        folder: of the example set.
        shards: in the order of the epoch.
        row: rows of the epoch consumed before.
        batch_size: rows of a batch.
        epoch: number of the epoch.
        shuffle: how to shuffle.
    """
    groups = groups_of(shards, shuffle.rows, mixed=shuffle.context is None)
    start = locate(groups, row)
    blocks = _blocks(folder, groups[start.group :], start.block)
    firsts = tf.data.Dataset.from_tensor_slices(_first_rows(groups, start))
    key = order_key(shuffle.seed, epoch)

    def shuffle_block(first: tf.Tensor, records: tf.Tensor) -> tf.Tensor:
        if shuffle.context is None:
            order = shuffled(key, first, tf.size(records))
        else:
            order = contexts_together(key, _contexts(records, shuffle))
        dropped = tf.where(first == start.row, start.dropped, 0)
        return tf.gather(records, order[dropped:])

    # The next block is read while the batches of this one are trained on.
    ready = tf.data.Dataset.zip(firsts, blocks).map(shuffle_block).prefetch(1)
    return ready.rebatch(batch_size)


def _first_rows(groups: Sequence[Group], start: BlockStart) -> NDArray[np.int64]:
    """Returns the epoch's row that each block from `start` on begins with."""
    sizes = [_sizes_and_end(group) for group in groups[start.group :]]
    rows = np.concatenate([np.zeros(0, np.int64), *sizes])[start.block :]
    firsts: NDArray[np.int64] = start.row + np.cumsum(rows) - rows
    return firsts


def _sizes_and_end(group: Group) -> NDArray[np.int64]:
    # An empty block ends a group: where a file has more rows than the manifest says,
    # they are read there, and then they are too many, as they should be.
    return np.append(group.sizes, 0)


def _blocks(folder: str, groups: Sequence[Group], block: int) -> tf.data.Dataset:
    """Returns the blocks from number `block` of the first group on, unshuffled."""
    if not groups:
        return tf.data.Dataset.from_tensors(tf.zeros([0], tf.string)).take(0)
    width = max(len(group.shards) for group in groups)
    paths = [[join(folder, shard.path) for shard in group.shards] for group in groups]
    done = [block if number == 0 else 0 for number in range(len(groups))]
    chunks = [group.chunk for group in groups]
    columns = {
        "paths": tf.constant([row + [""] * (width - len(row)) for row in paths]),
        "shards": tf.constant([len(row) for row in paths], tf.int64),
        "chunk": tf.constant(chunks, tf.int64),
        "skipped": tf.constant(np.multiply(chunks, done), tf.int64),
        "blocks": tf.constant(
            [len(_sizes_and_end(g)) - d for g, d in zip(groups, done, strict=True)],
            tf.int64,
        ),
    }
    compression = _compression(path for row in paths for path in row)

    def read(group: dict[str, tf.Tensor]) -> tf.data.Dataset:
        def chunks_of(path: tf.Tensor) -> tf.data.Dataset:
            records = tf.data.TFRecordDataset(path, compression)
            rows = records.skip(group["skipped"]).batch(group["chunk"])
            # All shards of a group have as many chunks, so that they take turns.
            nothing = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string)).repeat()
            return rows.concatenate(nothing).take(group["blocks"])

        shards = group["shards"]
        files = tf.data.Dataset.from_tensor_slices(group["paths"][:shards])
        turns = files.interleave(chunks_of, cycle_length=shards, block_length=1)
        return turns.ragged_batch(shards).map(lambda rows: rows.flat_values)

    return tf.data.Dataset.from_tensor_slices(columns).flat_map(read)


def _compression(paths: Iterable[str]) -> str:
    return "GZIP" if any(path.endswith(".gz") for path in paths) else ""


def _contexts(records: tf.Tensor, shuffle: BlockShuffle) -> tf.Tensor:
    """Reads nothing but the ids of the records; int64 [rows]."""
    wanted = {IDS: tf.io.FixedLenFeature([shuffle.ids], tf.int64)}
    return tf.io.parse_example(records, wanted)[IDS][:, shuffle.context]
