"""What was read of a topic and is in no window yet; messages that are no examples are
found before a window is given, at the price of parsing its rows once.

To look at every message as it comes would mean to parse it twice. So rows are taken on
trust, windows are cut of them, and parsed as training wants them. A window holds if all
its rows can be trained on, and so can the next row of every partition: a bad one there
could have held back, by its timestamp, good ones behind it that belong into the window.
If it does not hold, all that is there is looked at, what is bad is put aside, and it is
cut again. So windows are those of the good messages alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import tensorflow as tf

from configs.errors import DataError
from trainer.inputs.dead_messages import DeadMessage, DeadMessages
from trainer.inputs.examples import Batch
from trainer.inputs.partition_merge import Block, Buffer, merged_order
from trainer.inputs.screening import Problem

__all__ = ["Cut", "Gathered", "Screening"]


class Screening(Protocol):
    """What is asked of `trainer.inputs.screening.Screen`."""

    def problems(self, values: Sequence[bytes | None]) -> dict[int, Problem]:
        """Returns what is wrong, by place in `values`."""

    def batches(self, serialized: tf.Tensor) -> Sequence[tuple[Batch, ...]] | None:
        """Returns the batches of a window; None if a row is bad."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """Rows of a window, still in the buffers.

    Attributes:
        serialized: string [rows], in order.
        batches: the same parsed.
        taken: how many are of each partition.
    """

    serialized: tf.Tensor
    batches: Sequence[tuple[Batch, ...]]
    taken: Mapping[int, int]


class Gathered:
    """The buffers of a topic's partitions.

    Args:
        topic: its name.
        screen: tells which messages are examples.
        dead: takes the others.
    """

    def __init__(self, topic: str, screen: Screening, dead: DeadMessages) -> None:
        self.buffers: dict[int, Buffer] = {}
        self._topic = topic
        self._screen = screen
        self._dead = dead

    def take_in(self, blocks: Mapping[int, Block]) -> None:
        """Puts messages into the buffers.

        Raises:
            TrainingError: if too many of them are no examples.
        """
        for partition, block in blocks.items():
            # Those without a value cannot even be merged.
            empty = [place for place, value in enumerate(block.values) if not value]
            found = self._screen.problems([block.values[place] for place in empty])
            self._put_aside(
                partition, block, {empty[place]: why for place, why in found.items()}
            )
            rest = block.without(empty) if empty else block
            values = cast("list[bytes]", rest.values)
            self.buffers[partition].extend(rest.offsets, rest.times, values)
        self._dead.check_share(sum(len(block.values) for block in blocks.values()))

    def cut(
        self, counts: Mapping[int, int], rows: int, *, settled: bool = False
    ) -> Cut | None:
        """Merges the first messages of the partitions.

        Args:
            counts: how many messages of each are merged.
            rows: how many of the merged are wanted, at most.
            settled: all of `counts` belong into the window, whatever lies behind them.

        Returns:
            The rows; None if messages among them, or next to them, had to be put aside:
            then what can be cut has to be found out anew.

        Raises:
            TrainingError: if too many messages are no examples.
        """
        values, taken = merged_order(self.buffers, counts, rows)
        serialized = tf.constant(values, tf.string)
        batches = self._screen.batches(serialized)
        if batches is not None and (settled or self._next_are_good(taken)):
            return Cut(serialized=serialized, batches=batches, taken=taken)
        if not self._screen_all():
            raise DataError(
                f"{self._topic}: rows before {self._places(taken)} are examples one by"
                " one and cannot be parsed together"
            )
        return None

    def _next_are_good(self, taken: Mapping[int, int]) -> bool:
        nexts = []
        for partition, buffer in self.buffers.items():
            place = taken.get(partition, 0)
            if buffer.screened <= place < len(buffer):
                nexts.append(buffer.values[place])
        return not self._screen.problems(nexts)

    def _screen_all(self) -> bool:
        """Puts aside what is bad; returns whether anything had not been looked at."""
        looked = False
        for partition, buffer in self.buffers.items():
            block = buffer.unscreened()
            looked = looked or bool(block.values)
            found = self._screen.problems(block.values)
            self._put_aside(partition, block, found)
            buffer.keep_screened(found)
        self._dead.check_share(0)
        return looked

    def _put_aside(
        self, partition: int, block: Block, problems: Mapping[int, Problem]
    ) -> None:
        buffer = self.buffers[partition]
        dead = [
            DeadMessage(
                topic=self._topic,
                partition=partition,
                offset=block.offsets[place],
                reason=reason,
                detail=detail,
                time=block.times[place],
                value=block.values[place],
            )
            for place, (reason, detail) in sorted(problems.items())
        ]
        buffer.dead += [(message.offset, message.reason) for message in dead]
        self._dead.put(dead)

    def _places(self, taken: Mapping[int, int]) -> dict[int, int]:
        return {p: self.buffers[p].offsets[n - 1] for p, n in taken.items() if n}
