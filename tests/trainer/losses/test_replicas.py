"""One device and several replicas give in-batch terms the same value and gradient."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.trainer.losses.replicas import CUTS

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "tests.trainer.losses.replicas"

Results = dict[str, dict[str, list[Any]]]
"""By name and kind: what each replica gave."""


class Run(NamedTuple):
    """A program, and the file of what it has to say: a pipe could fill and block it."""

    process: subprocess.Popen[bytes]
    errors: Path


def started(output: Path, *arguments: str, **environment: str) -> Run:
    errors = output.with_suffix(".errors")
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM, str(output), *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stderr=stream,
        )
    return Run(process, errors)


def finished(runs: list[Run]) -> None:
    try:
        for run in runs:
            code = run.process.wait(timeout=900)
            assert code == 0, run.errors.read_text(errors="replace")[-3000:]
    finally:
        for run in runs:
            run.process.kill()


def read(paths: list[Path]) -> Results:
    results: Results = {}
    for path in paths:
        for key, value in np.load(path).items():
            name, kind, _ = key.split("|")
            results.setdefault(name, {}).setdefault(kind, []).append(value)
    return results


def workers(folder: Path) -> list[Run]:
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{s.getsockname()[1]}" for s in (first, second)]
    tasks = [{"type": "worker", "index": index} for index in range(2)]
    configs = [json.dumps({"cluster": {"worker": hosts}, "task": t}) for t in tasks]
    return [
        started(folder / f"worker_{index}.npz", TF_CONFIG=config)
        for index, config in enumerate(configs)
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """Of 1 and 3 devices and 2 workers: processes, which run side by side. Of two
    devices is `tests/trainer/test_training_model.py`."""
    folder = tmp_path_factory.mktemp("replicas")
    counts = (1, 3)
    running = [started(folder / f"{count}.npz", str(count)) for count in counts]
    finished([*running, *workers(folder)])
    found = {str(count): read([folder / f"{count}.npz"]) for count in counts}
    return found | {"workers": read([folder / f"worker_{k}.npz" for k in range(2)])}


def compare(several: Results, one: Results) -> None:
    assert several.keys() == one.keys()
    for name, kinds in one.items():
        for kind, (expected,) in kinds.items():
            shares, where = several[name][kind], f"{name}, {kind}"
            if kind.startswith("by "):
                found, cuts = np.concatenate(shares), CUTS[len(shares)]
                assert [len(share) for share in shares] == np.diff(cuts).tolist()
            else:
                found = shares[-1] if kind == "gathered" else np.sum(shares, axis=0)
            assert kind.startswith("slope ") or np.any(expected), where
            np.testing.assert_allclose(
                found, expected, rtol=2e-5, atol=1e-6, err_msg=where
            )


@pytest.mark.slow
@pytest.mark.parametrize("replicas", ["3", "workers"])
def test_replicas_equal_one_device(results: dict[str, Results], replicas: str) -> None:
    """Each loss in value, their sum by logits, hidden vectors and variables."""
    compare(results[replicas], results["1"])
