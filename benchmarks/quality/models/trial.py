"""One training in memory: trained, chosen on validation rows, scored once on test."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from benchmarks.quality.losses.rows import Split, read_split
from benchmarks.quality.losses.trial import assemble_fresh
from benchmarks.quality.models.store import Report
from configs.job import Job
from configs.layout import IDS, LABELS, layout_of
from trainer.assembly import Assembly
from trainer.inference import InferenceModel
from trainer.inputs.examples import Batch
from trainer.metrics.task import TaskMetrics

__all__ = ["EarlyChoice", "Rows", "Scorer", "built", "run_trial"]

_SCORED_AT_ONCE = 8_192
_KEPT = ("rows", "auc", "gauc", "log_loss", "calibration", "observed_rate")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The splits of a data set, in memory."""

    train: Split
    validation: Split
    test: Split

    @classmethod
    def read(cls, examples: Path, job: Job, most: int | None = None) -> "Rows":
        """Reads an example set; of each split at most `most` rows."""
        return cls(
            **{
                name: first_rows(read_split(examples, name, job), most)
                for name in ("train", "validation", "test")
            }
        )


def first_rows(split: Split, most: int | None) -> Split:
    """Returns the first rows of a split; all of them for None."""
    return Split({key: values[:most] for key, values in split.columns.items()})


@dataclass(frozen=True, kw_only=True)
class EarlyChoice:
    """Keeps the weights with the best validation log loss of the first task.

    Attributes:
        every: steps between looks.
        patience: training ends after so many looks without improvement.
    """

    every: int
    patience: int


def run_trial(
    job: Job, examples: Path, rows: Rows, choice: EarlyChoice | None = None
) -> tuple[Report, Assembly]:
    """Trains `training.epochs` epochs, and scores validation and test rows.

    Returns:
        The report, and what was trained, with the weights that were scored. Seconds
        are those of training steps alone, without the first, which compiles: no
        reading, no evaluation. `cpu` counts the seconds of all threads.

    Raises:
        JobError: if the job cannot be built on these features.
    """
    assembly = built(job, examples)
    scorer, clock = Scorer(assembly.inference, job), _Clock()
    best = _Best(assembly.inference, scorer, rows.validation)
    step = 0
    for step, batch in enumerate(_batches(job, rows.train), start=1):
        clock.start()
        assembly.step((batch,))
        clock.stop()
        if choice is not None and step % choice.every == 0:
            best.look(step)
            if best.lost >= choice.patience:
                break
    if choice is not None:
        if step % choice.every:
            best.look(step)
        best.restore()
    steps = -(-rows.train.rows // job.training.batch_size)
    return {
        "steps": step,
        "chosen_step": step if choice is None else best.step,
        "train_rows": rows.train.rows,
        **_parameters(assembly.inference),
        "epoch_seconds": clock.wall_seconds * steps,
        "epoch_cpu_seconds": clock.cpu_seconds * steps,
        "validation": scorer.metrics(rows.validation),
        "test": scorer.metrics(rows.test),
    }, assembly


def _batches(job: Job, training: Split) -> Iterator[Batch]:
    """Yields the batches of all epochs, each epoch in an order of its own."""
    for epoch in range(job.training.epochs):
        seed = 1_000 * job.training.seed + epoch
        yield from training.batches(job.training.batch_size, seed=seed)


def built(job: Job, examples: Path) -> Assembly:
    """Returns a fresh model, with its layers called once.

    Raises:
        JobError: if the job cannot be built on these features.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(job.training.seed)
    return assemble_fresh(job, examples)


class Scorer:
    """Predicts with a model as it is at that moment, compiled once.

    Args:
        model: built.
        job: its job.
    """

    def __init__(self, model: InferenceModel, job: Job) -> None:
        self._job = job
        self._run = tf.function(model, reduce_retracing=True, autograph=False)

    def logits(self, split: Split) -> dict[str, NDArray[np.float32]]:
        """Returns the true logits of all rows, float32 [rows] by served output."""
        parts: dict[str, list[NDArray[np.float32]]] = {}
        for batch in split.batches(_SCORED_AT_ONCE):
            for name, logits in self._run(batch).items():
                parts.setdefault(name, []).append(logits.numpy())
        return {name: np.concatenate(values) for name, values in parts.items()}

    def metrics(self, split: Split) -> dict[str, Report]:
        """Returns the metrics of each task over all rows of a split."""
        layout, logits = layout_of(self._job), self.logits(split)
        users = None
        if "user" in layout.ids:
            users = split.columns[IDS][:, layout.ids.index("user")]
        found = {}
        for task in self._job.model.tasks:
            metrics = TaskMetrics(grouped=users is not None)
            labels = split.columns[LABELS][:, layout.labels.index(task)]
            metrics.update(logits[task], labels, np.ones(split.rows), users)
            values = metrics.result()
            found[task] = {name: values[name] for name in _KEPT}
        return found


def _parameters(model: InferenceModel) -> dict[str, int]:
    """Returns the numbers of weights that are served: all, and those of no table."""
    tables = {id(v) for v in model.tables.table_variables}
    sizes = [(id(v), int(np.prod(v.shape))) for v in model.trainable_variables]
    return {
        "parameters": sum(size for _, size in sizes),
        "dense_parameters": sum(size for key, size in sizes if key not in tables),
    }


class _Clock:
    """Means over steps, of the wall's and of the processor's time."""

    def __init__(self) -> None:
        self._steps = -1  # the first compiles
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        if self._steps >= 0:
            self._wall += time.perf_counter() - self._started[0]
            self._cpu += time.process_time() - self._started[1]
        self._steps += 1

    @property
    def wall_seconds(self) -> float:
        return self._wall / max(self._steps, 1)

    @property
    def cpu_seconds(self) -> float:
        return self._cpu / max(self._steps, 1)


class _Best:
    """The weights with the lowest validation log loss so far."""

    def __init__(self, model: InferenceModel, scorer: Scorer, rows: Split) -> None:
        self.step = self.lost = 0
        self._model, self._scorer, self._rows = model, scorer, rows
        self._loss = float("inf")
        self._weights: list[Any] = []

    def look(self, step: int) -> None:
        first, *_ = self._scorer.metrics(self._rows).values()
        loss = first["log_loss"]
        if loss < self._loss:
            self._loss, self.step, self.lost = loss, step, 0
            self._weights = [v.numpy() for v in self._model.trainable_variables]
        else:
            self.lost += 1

    def restore(self) -> None:
        pairs = zip(self._model.trainable_variables, self._weights, strict=True)
        for variable, value in pairs:
            variable.assign(value)
