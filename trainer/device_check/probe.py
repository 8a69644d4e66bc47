"""What one set of devices computes: run in a process of its own.

    python -m trainer.device_check.probe JOB FOLDER STEPS [SECTION.KEY=VALUE ...]

writes FOLDER/probe.npz: the losses and gradients of the first batch, and all weights
before and after the steps; and FOLDER/probe.json: steps per second and bytes exchanged.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from configs.command import run_command
from configs.imports import import_modules
from configs.job import Job
from configs.loading import load_job
from trainer.assembly import Assembly, assemble
from trainer.base_rates import base_rates
from trainer.devices import prepare_devices
from trainer.inputs.example_set import read_all_statistics
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles, Position
from trainer.run import INFERENCE_PREFIX
from trainer.traffic import measuring
from trainer.vocabularies import make_vocabularies

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Runs the probe and returns its exit status."""
    file, folder, steps, *overrides = arguments

    def command() -> None:
        import_modules()  # those that the comparing process had
        _probe(load_job(file, overrides), Path(folder), int(steps))

    return run_command(command)


def _probe(job: Job, folder: Path, steps: int) -> None:
    # A GPU's shortened multiplications would hide what an exchange gets wrong.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    strategy = prepare_devices(job.training)
    source = ExampleFiles(
        job.data.examples,
        "train",
        job,
        batch_size=job.training.batch_size,
        shares=strategy.num_replicas_in_sync,
        seed=job.training.seed,
    )
    with strategy.scope():
        assembly = assemble(
            job,
            statistics=read_all_statistics(job.data.examples),
            vocabularies=make_vocabularies(job, job.data.examples),
            base_rates=base_rates(job, source.split),
            element_spec=source.element_spec,
        )
        arrays = {f"before/{n}": v for n, v in _weights(assembly).items()}
        gradients, traffic = _first_gradients(assembly, next(source.batches()))
        rate = _timed_steps(assembly, source, steps)
        arrays |= gradients
        arrays |= {f"after/{n}": v for n, v in _weights(assembly).items()}
    figures = {
        "devices": strategy.num_replicas_in_sync,
        "batch": source.rows_at(0),
        "steps_per_second": rate,
        "traffic": traffic,
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "probe.npz", **arrays)
    (folder / "probe.json").write_text(json.dumps(figures), encoding="utf-8")


def _weights(assembly: Assembly) -> dict[str, Any]:
    return {
        name: np.array(variable)
        for name, variable in assembly.variables.items()
        if name.startswith((INFERENCE_PREFIX, "training/"))
    }


def _first_gradients(
    assembly: Assembly, shares: tuple[Batch, ...]
) -> tuple[dict[str, Any], list[dict[str, int]]]:
    """Returns losses and gradients by name, and what each replica sends by kind."""
    strategy = tf.distribute.get_strategy()
    step = assembly.step

    def on_replica(shares: tuple[Batch, ...]) -> Any:
        with measuring() as traffic:
            gradients = step.gradients(shares)
        return gradients, traffic.sent()

    def on_all(shares: tuple[Batch, ...]) -> Any:
        return strategy.run(on_replica, args=(shares,))

    gradients, sent = tf.function(on_all, autograph=False)(shares)
    local = strategy.experimental_local_results
    found = {"gradient/losses": local(gradients.losses)[0].numpy()}
    for number, dense in enumerate(gradients.dense):
        found[f"gradient/dense/{number}"] = local(dense)[0].numpy()
    for number, rows in enumerate(gradients.tables):
        ids = local(rows.ids)[0].numpy()
        order = np.argsort(ids)  # the order of rows depends on who found them first
        found[f"gradient/table/{number}/ids"] = ids[order]
        found[f"gradient/table/{number}"] = local(rows.gradients)[0].numpy()[order]
    replicas = strategy.num_replicas_in_sync
    traffic = [
        {kind: int(local(size)[k]) for kind, size in sent.items()}
        for k in range(replicas)
    ]
    return found, traffic


def _timed_steps(assembly: Assembly, source: ExampleFiles, steps: int) -> float:
    """Makes the steps, and returns how many of the second half a second has."""
    batches = _batches(source)
    half = steps // 2
    for number in range(steps):
        if number == half:
            assembly.step.sums()  # waits for the devices
            started = time.perf_counter()
        assembly.step(next(batches))
    assembly.step.sums()
    return (steps - half) / (time.perf_counter() - started)


def _batches(source: ExampleFiles) -> Iterator[tuple[Batch, ...]]:
    epoch = 0
    while True:
        yield from source.batches(Position(epoch=epoch))
        epoch += 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
