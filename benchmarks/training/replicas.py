"""One, two and three devices and two worker processes: the same weights, and what each
replica sends."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import shape
from benchmarks.training.machine import machine
from benchmarks.training.rows import job_text, write_rows
from trainer.run import INFERENCE_PREFIX

__all__ = ["replicas"]

_SIZE = "1M"
_BATCHES = 32

_OPTIMIZERS = {
    "SGD": (
        "training.optimizer.dense={name: sgd, learning_rate: 0.1}",
        "training.optimizer.embeddings={name: sgd, learning_rate: 0.1}",
    ),
    "SGD, tables by lazy Adam": (
        "training.optimizer.dense={name: sgd, learning_rate: 0.1}",
        "training.optimizer.embeddings="
        "{name: lazy_adam, learning_rate: 0.001, epsilon: 0.001}",
    ),
}
"""Adam divides a gradient by its own size: with its usual epsilon of 1e-7, one that is
nothing but rounding moves its weight by the learning rate, in either direction."""

_TOLERANCE = 1e-5
"""Of any weight: sums over replicas round in another order."""


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    weights: dict[str, Any]
    traffic: list[dict[str, int]]


def replicas(cache: Path, *, steps: int) -> str:
    """Trains on each set of devices and returns the results as Markdown.

    Raises:
        SystemExit: if a training fails.
    """
    folder = cache / f"rows-{_BATCHES}" / _SIZE
    total = shape.SIZES[_SIZE]
    write_rows(folder, total, batches=_BATCHES)
    job = folder / "job.yaml"
    job.write_text(job_text(folder, total), "utf-8")
    differences: list[str] = []
    traffic: dict[str, list[dict[str, int]]] = {}
    for optimizer, overrides in _OPTIMIZERS.items():
        single = _probe(job, folder, steps, overrides)
        traffic["1 device"] = single.traffic
        for devices in (2, 3):
            title = f"{devices} logical devices"
            found = _probe(job, folder, steps, [*overrides, *_mirrored(devices)])
            traffic[title] = found.traffic
            differences.append(
                _difference(optimizer, title, single.weights, found.weights)
            )
        # The probe begins its rows anew where training begins another epoch.
        alone = _trained("train", job, folder, steps, overrides)
        both = _trained("workers 2", job, folder, steps, overrides)
        title = "2 worker processes"
        differences.append(_difference(optimizer, title, alone, both))
    return _report(steps, differences, traffic)


def _mirrored(devices: int) -> list[str]:
    return ["training.strategy=mirrored", f"training.logical_devices={devices}"]


def _probe(job: Path, folder: Path, steps: int, overrides: Sequence[str]) -> _Outcome:
    target = folder / "probe"
    _run("trainer.device_check.probe", job, target, steps, *overrides)
    arrays = np.load(target / "probe.npz")
    weights = {
        name.removeprefix("after/"): arrays[name]
        for name in arrays.files
        if name.startswith("after/")
    }
    figures = json.loads((target / "probe.json").read_text("utf-8"))
    return _Outcome(weights=weights, traffic=figures["traffic"])


def _trained(
    command: str, job: Path, folder: Path, steps: int, overrides: Sequence[str]
) -> dict[str, Any]:
    """Returns the weights in the checkpoint that a command of the trainer leaves."""
    import tensorflow as tf

    run = folder / "run"
    words = [*overrides, f"data.run={run}", f"training.max_steps={steps}"]
    options = [word for item in words for word in ("--set", item)]
    _run("trainer", *command.split(), job, "--overwrite", *options)
    (variables,) = (run / "checkpoints").glob(f"*{steps}/*.index")
    reader = tf.train.load_checkpoint(str(variables.with_suffix("")))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith(INFERENCE_PREFIX)
    }


def _run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    print(" ".join(command[1:4]), file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def _difference(
    optimizer: str, title: str, single: dict[str, Any], other: dict[str, Any]
) -> str:
    gaps = []
    for name, weights in single.items():
        gaps.append(np.abs(weights - other[name]).astype(np.float64).ravel())
    gap = np.concatenate(gaps)
    verdict = "equal" if gap.max() <= _TOLERANCE else "DIFFERENT"
    return (
        f"| {optimizer} | {title} | {gap.size:,} | {gap.max():.1e} | {gap.mean():.1e} |"
        f" {_TOLERANCE:.0e} | {verdict} |"
    )


def _report(
    steps: int, differences: list[str], traffic: dict[str, list[dict[str, int]]]
) -> str:
    kinds = sorted({kind for sent in traffic.values() for one in sent for kind in one})
    table = [
        f"| devices | {' | '.join(f'{kind}, bytes' for kind in kinds)} | together |",
        "| --- " * (len(kinds) + 2) + "|",
    ]
    for title, sent in traffic.items():
        means = [round(np.mean([one.get(kind, 0) for one in sent])) for kind in kinds]
        cells = [f"{mean:,}" for mean in means]
        table.append(f"| {title} | {' | '.join(cells)} | {sum(means):,} |")
    whole = shape.SIZES[_SIZE] * shape.DIM * 4
    return f"""## Several devices

{machine()}

The model of the speed tables at {_SIZE} rows, {steps} steps of 4,096 rows over all
devices together. Difference of the weights from those of one device, over all of them.
Lazy Adam's epsilon is 0.001: with the usual 1e-7, a gradient that is nothing but
rounding moves its weight by the learning rate in either direction (by 0.001 to 0.01 at
most was seen after 50 steps, by 1e-5 in the mean).

| optimizer | devices | weights | largest | mean | tolerance | verdict |
| --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(differences)}

What a replica puts into the exchanges of the first step, mean over replicas, counted
by `trainer.traffic` (as a dense table, the gradient would be {whole:,} bytes):

{chr(10).join(table)}"""
