"""Splits of an example set, held in memory: many short trainings read the same rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from configs.job import Job
from configs.layout import LABELS, TRUTH
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles

__all__ = ["Split", "read_split"]

_READ_AT_ONCE = 16_384


@dataclass(frozen=True)
class Split:
    """Rows of a split.

    Attributes:
        columns: arrays [rows, ...] by layout key.
    """

    columns: dict[str, np.ndarray[Any, Any]]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[LABELS])

    @property
    def labels(self) -> np.ndarray[Any, Any]:
        """The first label, float32 [rows]."""
        return self.columns[LABELS][:, 0]

    @property
    def truth(self) -> np.ndarray[Any, Any]:
        """Its true probability, float32 [rows]; NaN where it is not known."""
        return self.columns[TRUTH][:, 0]

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """Yields all rows, in a random order if a seed is given."""
        order = None if seed is None else np.random.default_rng(seed).permutation
        rows = np.arange(self.rows) if order is None else order(self.rows)
        for start in range(0, self.rows, size):
            chosen = rows[start : start + size]
            yield {k: tf.constant(v[chosen]) for k, v in self.columns.items()}


def read_split(examples: Path, split: str, job: Job) -> Split:
    """Reads a split of an example set without sequences."""
    source = ExampleFiles(str(examples), split, job, batch_size=_READ_AT_ONCE)
    parts: dict[str, list[Any]] = {}
    for (batch,) in source.batches():
        for key, values in batch.items():
            parts.setdefault(key, []).append(values.numpy())
    return Split({key: np.concatenate(values) for key, values in parts.items()})
