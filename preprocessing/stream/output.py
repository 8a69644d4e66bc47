"""Where the examples of a micro-batch go besides their set in `data.examples`.

Kafka is plugged in by `preprocessing.stream.kafka_output.open_kafka_output(job)`, where
the job names `stream.examples_topic`. The driver calls `send` when the shards of the
set are written and before its manifest is, so that what `send` returns stands in the
manifest; the set becomes visible after that. A crash in between makes the micro-batch
again, byte for byte, and `send` is called again with the same number: it must then send
nothing, and return what it returned (so the transaction has to carry the number).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from configs.manifest import ExampleSplit

__all__ = ["Output"]


class Output(Protocol):
    """A second home of examples."""

    def send(
        self, batch: int, folder: Path, splits: Mapping[str, ExampleSplit]
    ) -> dict[str, dict[int, int]]:
        """Sends the examples of a micro-batch, once.

        Args:
            batch: number of the micro-batch; it grows by one from call to call, unless
                a micro-batch is made again.
            folder: that the paths of the shards are relative to.
            splits: shards by split, as the manifest lists them. There may be no rows:
                the number has to be noted all the same.

        Returns:
            For each topic and partition the offset after the last message.
        """
