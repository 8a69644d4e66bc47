"""Cuts batches into the parts of the devices, the same way everywhere."""

from collections.abc import Sequence

import tensorflow as tf

from configs.layout import ExampleLayout
from trainer.inputs.examples import Batch, parse_examples

__all__ = ["parse_parts"]


def parse_parts(
    serialized: tf.Tensor,
    layout: ExampleLayout,
    shares: int,
    own: Sequence[int] | None = None,
) -> tuple[Batch, ...]:
    """Cuts a batch into the parts of all devices, and parses some of them.

    Every batch is cut alike, so that a device's part depends on the batch alone: the
    parts are of equal size but for the last ones, which may have fewer rows or none.

    Args:
        serialized: [B] string.
        layout: of the examples.
        shares: devices of all workers.
        own: numbers of the parts that are parsed; all unless given.
    """
    share = (tf.size(serialized) + shares - 1) // shares
    return tuple(
        parse_examples(serialized[k * share : (k + 1) * share], layout)
        for k in (range(shares) if own is None else own)
    )
