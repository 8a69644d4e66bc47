"""One device against all devices of this machine, and a verdict.

    probe, one device ───┐  losses, gradients and weights equal?
    probe, all devices ──┘  steps per second, bytes exchanged
    train on all devices ────────────────┐  the same bits?
    train, kill -9, train --resume ──────┘

Each runs in a process of its own, as devices are settled when TensorFlow starts.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from configs.errors import JobError, TrainingError
from configs.job import Job
from configs.loading import dump_job, load_job
from trainer.checkpoint import Checkpoints
from trainer.device_check.example_set import write_example_job
from trainer.device_check.report import Check, Figures, report

__all__ = ["check_devices"]

TOLERANCE = 1e-3
"""Largest difference of a tensor over its largest value (losses, gradients) or over the
largest change that training made to it (weights). Sums of float32 in another order
differ by some 1e-6 each; a share that is lost or counted twice by some 1e-1."""

_KILLED_STEPS = 300
_CHECKPOINT_EVERY = 20
_LIMIT_SECONDS = 1800.0

_COMPARABLE = (
    # Differences are to come from the exchange alone: plain gradient steps do not
    # amplify them, and what is drawn at random is drawn for each replica.
    "training.optimizer.dense={name: sgd, learning_rate: 0.05}",
    "training.optimizer.embeddings={name: sgd, learning_rate: 0.5}",
    "training.precision=float32",
)


@dataclass(frozen=True)
class _Devices:
    """What is compared: the overrides that choose one device, and all."""

    kind: str
    one: tuple[str, ...]
    all: tuple[str, ...]


def check_devices(job: Job | None, *, devices: int = 2, steps: int = 50) -> bool:
    """Prints a table and a verdict; returns whether all is well.

    Args:
        job: to check with; its example set must exist, its run is not touched. None
            makes up a small one.
        devices: logical CPU devices to try, where there are not several GPUs.
        steps: of training that are compared.

    Raises:
        JobError: if fewer than two devices, or no step, would be compared.
        TrainingError: if a process of the check fails.
    """
    if devices < 2 or steps < 1:
        raise JobError(
            f"{devices} device(s) and {steps} step(s) leave nothing to compare:"
            " expected --devices of 2 or more, and --steps of 1 or more"
        )
    with tempfile.TemporaryDirectory(prefix="device-check-") as name:
        folder = Path(name)
        if job is None:
            file = write_example_job(folder)
        else:
            file = folder / "job.yaml"
            file.write_text(dump_job(job), encoding="utf-8")
        loaded = load_job(file)
        chosen = _devices(devices)
        comparable = [*_COMPARABLE, *_dropouts(loaded.model.model_dump(), "model")]
        equal = [
            _probe(file, folder / f"equal-{k}", steps, [*comparable, *which])
            for k, which in enumerate((chosen.one, chosen.all))
        ]
        speed = [
            _probe(file, folder / f"speed-{k}", steps, list(which))
            for k, which in enumerate((chosen.one, chosen.all))
        ]
        checks = _comparisons(folder / "equal-0", folder / "equal-1", steps)
        checks.append(_resume_check(file, folder, list(chosen.all)))
    print(report(chosen.kind, checks, speed[0], speed[1], equal[1]))
    return all(check.passed for check in checks)


def _dropouts(values: Any, place: str) -> Iterator[str]:
    """Yields an override for each dropout in a section: none is left."""
    if isinstance(values, Mapping):
        if values.get("dropout"):
            yield f"{place}.dropout=0.0"
        for key, value in values.items():
            yield from _dropouts(value, f"{place}.{key}")
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _dropouts(value, f"{place}.{number}")


def _devices(count: int) -> _Devices:
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus > 1:
        one = ("training.strategy=single", "training.logical_devices=0")
        every = ("training.strategy=mirrored", "training.logical_devices=0")
        return _Devices(f"{gpus} GPUs", one, every)
    one = ("training.strategy=single", "training.logical_devices=0")
    every = ("training.strategy=mirrored", f"training.logical_devices={count}")
    return _Devices(f"{count} logical devices of the CPU", one, every)


def _probe(file: Path, folder: Path, steps: int, overrides: list[str]) -> Figures:
    module = "trainer.device_check.probe"
    _run(["-m", module, str(file), str(folder), str(steps), *overrides])
    return Figures.model_validate_json((folder / "probe.json").read_text("utf-8"))


def _run(arguments: list[str]) -> None:
    done = subprocess.run(  # noqa: S603 (our own module)
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise TrainingError(
            f"a process of the check failed with status {done.returncode}: python"
            f" {' '.join(arguments)}\n{done.stderr[-3000:]}"
        )


def _comparisons(one: Path, every: Path, steps: int) -> list[Check]:
    with np.load(one / "probe.npz") as first, np.load(every / "probe.npz") as second:
        a, b = dict(first), dict(second)
    if a.keys() != b.keys():
        raise TrainingError("the two sets of devices have different weights")
    losses = {n for n in a if n == "gradient/losses"}
    gradients = {n for n in a if n.startswith("gradient/")} - losses
    after = {n for n in a if n.startswith("after/")}
    change = {n: a[n] - a[n.replace("after/", "before/")] for n in after}
    before = {n for n in a if n.startswith("before/")}
    return [
        _check("first weights", before, a, b, a),
        _check("losses of a batch", losses, a, b, a),
        _check("gradients of a batch", gradients, a, b, a),
        _check(f"weights after {steps} steps", after, a, b, change),
    ]


def _check(
    what: str,
    names: set[str],
    one: Mapping[str, Any],
    every: Mapping[str, Any],
    scale: Mapping[str, Any],
) -> Check:
    worst, place = 0.0, ""
    for name in sorted(names):
        difference = _difference(one[name], every[name], scale[name])
        if not difference <= worst:
            worst, place = difference, name
    passed = worst <= TOLERANCE
    where = "" if passed else f" in {place.partition('/')[2]}"
    return Check(
        what=what,
        passed=passed,
        found=f"largest relative difference {worst:.1e}{where}",
    )


def _difference(one: Any, every: Any, scale: Any) -> float:
    if one.shape != every.shape:
        return float("inf")
    difference = np.abs(one.astype(np.float64) - every.astype(np.float64))
    if not difference.size or not difference.any():
        return 0.0
    largest = float(np.abs(scale).max())
    return float(difference.max()) / largest if largest else float("inf")


def _resume_check(file: Path, folder: Path, overrides: list[str]) -> Check:
    """Trains whole, and again with a kill in between, and compares all bits."""
    overrides = [
        *overrides,
        "training.deterministic=true",
        f"training.max_steps={_KILLED_STEPS}",
        "training.epochs=1000",
        f"training.checkpoint_every={_CHECKPOINT_EVERY}",
        # Nothing is to end training earlier, or to spend the time on other things.
        "training.evaluate_every=null",
        "training.early_stopping=null",
    ]
    whole, killed = folder / "whole", folder / "killed"
    _run(_training(file, whole, overrides))
    step = _kill_after_a_checkpoint(_training(file, killed, overrides), killed)
    what = "killed and resumed"
    if step is None:
        return Check(
            what=what, passed=False, found="training ended before it could be killed"
        )
    _run([*_training(file, killed, overrides), "--resume"])
    different = _different_bits(whole, killed)
    found = f"killed after step {step}, resumed: the same bits after {_KILLED_STEPS}"
    if different:
        found = f"killed after step {step}: other bits in {', '.join(different[:3])}"
    return Check(what=what, passed=not different, found=found)


def _training(file: Path, run: Path, overrides: list[str]) -> list[str]:
    sets = [part for o in [*overrides, f"data.run={run}"] for part in ("--set", o)]
    return ["-m", "trainer", "train", str(file), *sets]


def _kill_after_a_checkpoint(arguments: list[str], run: Path) -> int | None:
    process = subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            steps = Checkpoints(run / "checkpoints").steps()
            if steps:
                process.kill()
                process.wait()
                last = Checkpoints(run / "checkpoints").steps()[-1]
                return last if last < _KILLED_STEPS else None
            time.sleep(0.01)
        return None
    finally:
        process.kill()
        process.wait()


def _different_bits(first: Path, second: Path) -> list[str]:
    contents = []
    for run in (first, second):
        folder = Checkpoints(run / "checkpoints").find("last")
        reader = tf.train.load_checkpoint(str(folder / "variables"))
        names = reader.get_variable_to_shape_map()
        contents.append({name: reader.get_tensor(name).tobytes() for name in names})
        state = json.loads((folder / "state.json").read_text("utf-8"))
        contents[-1]["state"] = json.dumps(state, sort_keys=True).encode()
    a, b = contents
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
