"""Starts systems, and has them train in turns."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.training.environments import python_of
from benchmarks.training.turns import ANSWERS

__all__ = ["SYSTEMS", "Measured", "System", "Worker", "interleave"]

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class System:
    """What is measured.

    Attributes:
        title: in tables.
        module: of `benchmarks.training.systems`.
        environment: see `benchmarks.training.environments`.
        options: of the module.
        variables: of its environment.
        mebibytes: needed with tables of a million rows of 16, the tables left out.
        copies: of the tables held at the worst moment (weights, slots, gradients).
    """

    title: str
    module: str
    environment: str | None = None
    options: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    mebibytes: int = 1_500
    copies: int = 3

    def needs(self, total: int, dim: int = 16) -> float:
        """Returns the mebibytes that it may need with `total` rows."""
        return self.mebibytes + self.copies * total * dim * 4 / 2**20


_FLOOR = ("--variant", "floor")
_BFLOAT16 = ("--precision", "bfloat16")

SYSTEMS = {
    "ours": System(title="Pairstream, float32", module="pairstream"),
    "ours16": System(
        title="Pairstream, bfloat16", module="pairstream", options=_BFLOAT16
    ),
    "floor": System(
        title="forward and backward alone, float32",
        module="pairstream",
        options=_FLOOR,
    ),
    "floor16": System(
        title="forward and backward alone, bfloat16",
        module="pairstream",
        options=(*_FLOOR, *_BFLOAT16),
    ),
    "keras": System(title="Keras `fit`, Adam, float32", module="keras_fit", copies=6),
    "keras16": System(
        title="Keras `fit`, Adam, bfloat16",
        module="keras_fit",
        options=_BFLOAT16,
        copies=6,
    ),
    "deepctr": System(
        title="DeepCTR, Adam, float32",
        module="deepctr_dcn",
        environment="deepctr",
        variables=(("TF_USE_LEGACY_KERAS", "1"),),
        copies=6,
    ),
    "fuxictr": System(
        title="FuxiCTR, Adam, float32",
        module="fuxictr_dcn",
        environment="fuxictr",
        mebibytes=2_500,
        copies=5,
    ),
}
"""By short name. All have lazy Adam or Adam at the same rate."""


@dataclass
class Measured:
    """Of one system at one size, a value for each round.

    Attributes:
        steps_per_second: by the wall clock.
        cpu_milliseconds: of a step, of all threads and processes.
        mebibytes: most memory held.
        versions: of its libraries.
    """

    steps_per_second: list[float] = field(default_factory=list)
    cpu_milliseconds: list[float] = field(default_factory=list)
    mebibytes: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)


class Worker:
    """A process that trains when it is told to, and sleeps in between."""

    def __init__(
        self, system: System, folder: Path, total: int, *, cached: bool = False
    ) -> None:
        self.system = system
        command = [python_of(system.environment), "-m"]
        command += [f"benchmarks.training.systems.{system.module}"]
        command += ["--folder", str(folder), "--total", str(total), *system.options]
        command += ["--cached"] if cached else []
        self._log = folder / f"{system.module}.log"
        reading, writing = os.pipe()
        environment = os.environ | {
            ANSWERS: str(writing),
            "PYTHONPATH": str(_ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            **dict(system.variables),
        }
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(writing,),
                text=True,
                cwd=_ROOT,
                env=environment,
            )
        os.close(writing)  # so that its end is the end of the answers
        self._answers = os.fdopen(reading)
        # Its warm-up would disturb the turns of others.
        self.versions: dict[str, str] = self._answer()["versions"]

    def turn(self, *, seconds: float, steps: int) -> dict[str, Any]:
        """Trains for `seconds`, and for `steps` at least; returns what it took."""
        if self._process.stdin is None:
            raise RuntimeError("the worker has no standard input")
        order = {"seconds": seconds, "steps": steps}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            end = "\n".join(self._log.read_text().splitlines()[-20:])
            code = self._process.wait()
            sys.exit(f"{self.system.title} ended with {code}; {self._log}:\n{end}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


def interleave(
    workers: Mapping[str, Worker], *, rounds: int, seconds: float, least_steps: int
) -> dict[str, Measured]:
    """Has the workers train one after another, `rounds` times.

    Every second round goes backwards, so that no system always follows the same one.
    """
    results = {
        name: Measured(versions=worker.versions) for name, worker in workers.items()
    }
    for number in range(rounds):
        order: Sequence[str] = list(workers)
        for name in order if number % 2 == 0 else reversed(order):
            took = workers[name].turn(seconds=seconds, steps=least_steps)
            result = results[name]
            result.steps_per_second.append(took["steps"] / took["seconds"])
            result.cpu_milliseconds.append(1e3 * took["cpu_seconds"] / took["steps"])
            result.mebibytes = max(result.mebibytes, took["peak_mebibytes"])
    return results
