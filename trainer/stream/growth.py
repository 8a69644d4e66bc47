"""Vocabularies that grow: spare rows for values that a stream brings.

Between two windows, so that a checkpoint holds all of it: which values have a row, and
how often those without one were seen. Nothing depends on the clock, so a stream that is
learned again gives the same rows to the same values.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    EVENT_KIND,
    FINGERPRINT_RANGE,
    LABELS,
    NEGATIVE_KEEP_RATE,
    PADDING,
    EventKind,
    layout_of,
    multi_valued_key,
    sequence_key,
)
from trainer.checkpoint import tensors_in
from trainer.inputs.examples import Batch
from trainer.layers.tables import FusedTables, table_inputs
from trainer.sampling_weights import sampling_weights

__all__ = ["Growth"]

MOST_WAITING = 1_000_000
"""Values without a row that are counted, of each table; of more the rarest are
forgotten. 16 bytes each, in memory and in each checkpoint."""

_Counts = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Values, sorted, and how often each was seen."""


class Growth:
    """Gives rows to new values of the tables that have spare ones.

    A value gets a row when the rows that have it weigh `min_count`: first rows of
    impressions, those whose negatives were dropped at rate r at 1/r, as in the counts
    of an example set. Of several the most frequent comes first, then the lowest
    fingerprint. Its vector is as freshly drawn.

    Args:
        job: the job.
        tables: of the model that learns.
        most: values that wait for a row, of each table.
    """

    def __init__(
        self, job: Job, tables: FusedTables, *, most: int = MOST_WAITING
    ) -> None:
        self._job = job
        self._layout = layout_of(job)
        self._inputs = table_inputs(job)
        self._most = most
        self._growing = tables.growing()
        self._needed = {
            name: vocabulary.min_count
            for name in self._growing
            if (vocabulary := job.embedding_of(name).vocabulary) is not None
        }
        self._waiting = {name: _nothing() for name in self._growing}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Returns what a checkpoint has to hold besides the model, by name."""
        found: dict[str, NDArray[Any]] = {}
        for table, (values, counts) in self._waiting.items():
            found[_values_name(table)] = values
            found[_counts_name(table)] = counts
        return found

    def restore(self, checkpoint: Path) -> None:
        """Goes on with what a checkpoint holds."""
        for table in self._growing:
            names = [_values_name(table), _counts_name(table)]
            found = tensors_in(checkpoint, names)
            if len(found) == len(names):
                self._waiting[table] = found[names[0]], found[names[1]]

    def learn(self, batches: Sequence[tuple[Batch, ...]]) -> dict[str, dict[str, int]]:
        """Counts the values of a window, and gives rows to those that were seen often
        enough.

        Args:
            batches: of the window, each with a part for each device.

        Returns:
            By table `given`, the rows given in this window; `free`, those that are
            left; and `waiting`, the values that were seen and have none.
        """
        if not self._growing:
            return {}
        parts = [(part, self._weights(part)) for batch in batches for part in batch]
        found = {}
        for table, variables in self._growing.items():
            seen = [one for part in parts for one in self._seen(table, *part)]
            found[table] = self._give(table, *variables, _counted(seen))
        return found

    def _weights(self, batch: Batch) -> NDArray[np.float64]:
        """Returns what rows count, [rows]: later rows show an impression again."""
        weights = sampling_weights(
            batch[LABELS].numpy(), batch[NEGATIVE_KEEP_RATE].numpy(), self._job
        )
        return np.where(batch[EVENT_KIND].numpy() == EventKind.FIRST, weights, 0.0)

    def _seen(
        self, table: str, batch: Batch, weights: NDArray[np.float64]
    ) -> Iterator[_Counts]:
        """Yields values and weights of a table's inputs."""
        for name in self._inputs[table]:
            values = self._values(name, batch)
            spread = np.broadcast_to(weights[:, np.newaxis], values.shape)
            counted = (values != PADDING) & (spread > 0.0)
            yield values[counted], spread[counted]

    def _values(self, name: str, batch: Batch) -> NDArray[np.int64]:
        """Returns the values of an input, [rows, k]."""
        values: NDArray[np.int64]
        if name in self._layout.categorical:
            place = self._layout.categorical.index(name)
            values = batch[CATEGORICAL].numpy()[:, place : place + 1]
        elif name in self._layout.multi_valued:
            values = batch[multi_valued_key(name)].numpy()
        else:
            values = batch[sequence_key(*name.split(".", 1))].numpy()
        return values

    def _give(
        self, table: str, values: keras.Variable, rows: keras.Variable, seen: _Counts
    ) -> dict[str, int]:
        known, given = values.numpy(), rows.numpy()
        filled = int(np.searchsorted(known, FINGERPRINT_RANGE))
        free = len(known) - filled
        if not free:
            self._waiting[table] = _nothing()  # nobody will ever ask
            return {"given": 0, "free": 0, "waiting": 0}
        new = ~np.isin(seen[0], known[:filled], assume_unique=True)
        waiting = _counted([self._waiting[table], (seen[0][new], seen[1][new])])
        order = np.lexsort((waiting[0], -waiting[1]))
        # Sums of weights 1/r may miss a whole number by rounding.
        ready = order[waiting[1][order] >= self._needed[table] - 1e-6][:free]
        if len(ready):
            known[filled : filled + len(ready)] = waiting[0][ready]
            # What stands behind the values are the free rows, in their order.
            place = np.argsort(known, kind="stable")
            values.value.assign(known[place])
            rows.value.assign(given[place])
        left = np.setdiff1d(order[: self._most + len(ready)], ready)
        self._waiting[table] = waiting[0][left], waiting[1][left]
        return {
            "given": len(ready),
            "free": free - len(ready),
            "waiting": len(left),
        }


def _nothing() -> _Counts:
    return np.zeros(0, np.int64), np.zeros(0, np.float64)


def _counted(parts: Sequence[_Counts]) -> _Counts:
    """Returns distinct values, sorted, and their sums."""
    if not parts:
        return _nothing()
    values, place = np.unique(
        np.concatenate([part[0] for part in parts]), return_inverse=True
    )
    weights = np.concatenate([part[1] for part in parts])
    sums = np.bincount(place, weights, len(values)).astype(np.float64)
    return values, sums


def _values_name(table: str) -> str:
    return f"stream/waiting/{table}/values"


def _counts_name(table: str) -> str:
    return f"stream/waiting/{table}/counts"
