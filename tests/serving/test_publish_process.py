"""`python -m serving publish --watch` as a process: real exports, a real kill."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from configs.loading import dump_job, parse_job
from serving.decisions import read_decisions
from tests.serving.conftest import ROOT, command
from tests.serving.models import FULL_JOB, ROWS
from tests.serving.published_runs import figures
from tests.serving.runs import write_examples, write_run

pytestmark = pytest.mark.slow


@contextmanager
def watching(job: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        command("publish", str(job), "--watch", "--poll-seconds", "0.1"),
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def trained(folder: Path) -> Path:
    """Writes a run with a checkpoint and good windows; returns its job file."""
    places = ("examples", "run", "models")
    job = parse_job(FULL_JOB, [f"data.{name}={folder}/{name}" for name in places])
    (folder / "job.yaml").write_text(dump_job(job))
    write_run(job)
    write_examples(job, ROWS)
    tasks = dict.fromkeys(job.model.tasks, figures(rows=9000, calibration_error=0.03))
    line = {"kind": "window", "step": 1, "rows": 9000, "tasks": tasks, "served": None}
    (folder / "run/metrics.jsonl").write_text(json.dumps(line) + "\n")
    return folder / "job.yaml"


def until(reached: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        time.sleep(0.02)


def test_a_publisher_is_killed_and_told_to_stop(tmp_path: Path) -> None:
    """Killed in the middle of an export: the next one waits for what was begun, and
    there is one version, decided on once."""
    path, models = trained(tmp_path), tmp_path / "models"
    with watching(path) as process:
        until(lambda: list(models.glob(".1.partial-*")))
        process.send_signal(signal.SIGKILL)
        process.wait()
    with watching(path) as process:
        until(lambda: (models / "1/saved_model.pb").exists())
        until(lambda: (tmp_path / "run/published/served.json").exists())
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert said.splitlines()[-1] == "stopped"
    (decision,) = read_decisions(models)
    assert (decision.action, decision.version) == ("published", 1)
    assert not list(models.glob(".*.partial-*"))
    assert not list((tmp_path / "run/published").glob(".*"))


def test_told_to_stop_while_exporting(tmp_path: Path) -> None:
    path, models = trained(tmp_path), tmp_path / "models"
    with watching(path) as process:
        until(lambda: (tmp_path / "run/published/.1.candidate").exists())
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert time.monotonic() - started < 5
    assert [p.name for p in models.iterdir() if not p.name.endswith(".lock")] == []
    assert list((tmp_path / "run/published").iterdir()) == []
