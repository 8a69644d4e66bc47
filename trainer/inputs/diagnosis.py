"""Finds the damaged file and record after reading has failed."""

import re

import tensorflow as tf

from configs.errors import DataError
from configs.layout import ExampleLayout
from configs.manifest import Shard
from trainer.inputs.examples import parse_examples
from trainer.inputs.filesystems import join

__all__ = ["explain_damage", "plain_message"]

_NODES = re.compile(r"\{\{.*?\}\} *| *\[Op:.*")
"""What TensorFlow puts around its messages."""

_BLOCK = 1024
"""Records looked at together while they are good."""

_MENDING = (
    "The file was changed or damaged after it was written: run preprocessing again, or"
    " `python -m preprocessing check` to see all that is wrong"
)


def explain_damage(
    folder: str,
    shards: list[Shard],
    layout: ExampleLayout,
    error: Exception | None,
) -> DataError:
    """Reads shard by shard until one fails, and returns an error that names it.

    This is slow, and happens only when training stops anyway.

    Args:
        folder: of the example set.
        shards: to look at.
        layout: of the examples.
        error: that was raised while reading, if any.
    """
    for shard in shards:
        path = join(folder, shard.path)
        count, problem = _read(path, layout)
        if problem is not None:
            return DataError(
                f"{path}: record {count + 1} of {shard.rows} cannot be read"
                f" ({problem}). {_MENDING}"
            )
        if count != shard.rows:
            return DataError(
                f"{path} has {count} rows, the manifest says {shard.rows}. {_MENDING}"
            )
    cause = "" if error is None else f" ({plain_message(error)})"
    return DataError(f"{folder}: the examples could not be read{cause}. {_MENDING}")


def _read(path: str, layout: ExampleLayout) -> tuple[int, str | None]:
    """Returns the number of good records and what is wrong with the next one."""
    good, problem = _read_from(path, layout, 0, _BLOCK)
    if problem is not None:
        # Somewhere in the block that failed: once more, record by record.
        good, problem = _read_from(path, layout, good, 1)
    return good, problem


def _read_from(
    path: str, layout: ExampleLayout, skipped: int, block: int
) -> tuple[int, str | None]:
    zipped = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=zipped)
    good = skipped
    try:
        for serialized in records.skip(skipped).batch(block):
            parse_examples(serialized, layout)
            good += int(tf.size(serialized))
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        return good, plain_message(error)
    return good, None


def plain_message(error: Exception) -> str:
    """Returns what TensorFlow says, without the names of nodes and ops."""
    if isinstance(error, UnicodeDecodeError):
        # TensorFlow quotes the bytes that it could not parse in its message.
        return "not a tf.train.Example"
    message = error.message if isinstance(error, tf.errors.OpError) else None
    text = _NODES.sub("", str(message or error)).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
