"""Ours. By the trainer of the job file; its step alone; forward and backward alone."""

import itertools
import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks.training.rows import example_job
from benchmarks.training.systems.arguments import (
    CACHED_BATCHES,
    Arguments,
    read_arguments,
)
from benchmarks.training.turns import Turns
from configs import Job
from configs.manifest import read_statistics
from trainer.assembly import Assembly, assemble
from trainer.base_rates import base_rates
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles
from trainer.train import train

VERSIONS = {
    "tensorflow": tf.__version__,
    "keras": keras.__version__,
    "python": sys.version.split()[0],
}


class _Pace(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._turns = Turns(VERSIONS)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # A step on CPUs has ended when its call has.
        self._turns.step_done()


def main() -> None:
    """Trains until told to stop."""
    arguments = read_arguments()
    variant = arguments.variant or "trainer"
    run = f"run-{variant}-{arguments.precision}"
    overrides = [
        f"training.precision={arguments.precision}",
        f"data.run={arguments.folder}/{run}",
    ]
    job = example_job(arguments.folder, arguments.total, *overrides)
    if variant == "trainer" and not arguments.cached:
        train(job, overwrite=True, callbacks=[_Pace()])
    elif variant == "trainer":
        _train_cached(job, arguments)
    else:
        _forward_and_backward(job, arguments)


def _train_cached(job: Job, arguments: Arguments) -> None:
    source = _source(job)
    assembly = _assembly(job, source)
    turns = Turns(VERSIONS)
    for shares in itertools.cycle(_cached(source)):
        assembly.step(shares)
        turns.step_done()


def _forward_and_backward(job: Job, arguments: Arguments) -> None:
    """The floor: losses and all gradients, of which nothing is made."""
    source = _source(job)
    model = _assembly(job, source).model
    variables = [*model.dense_variables, *model.table_variables]

    @tf.function(input_signature=source.element_spec)  # type: ignore[misc]
    def gradients(batch: Batch) -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch, training=True)["loss"]
        return loss, tape.gradient(loss, [v.value for v in variables])

    turns = Turns(VERSIONS)
    cached = itertools.cycle(_cached(source)) if arguments.cached else None
    for (batch,) in cached or source.batches():
        gradients(batch)
        turns.step_done()


def _source(job: Job) -> ExampleFiles:
    return ExampleFiles(
        job.data.examples,
        "train",
        job,
        batch_size=job.training.batch_size,
        seed=job.training.seed,
    )


def _assembly(job: Job, source: ExampleFiles) -> Assembly:
    return assemble(
        job,
        statistics=read_statistics(Path(job.data.examples)),
        vocabularies={},
        base_rates=base_rates(job, source.split),
        element_spec=source.element_spec,
    )


def _cached(source: ExampleFiles) -> list[tuple[Batch, ...]]:
    return list(itertools.islice(source.batches(), CACHED_BATCHES))


if __name__ == "__main__":
    main()
