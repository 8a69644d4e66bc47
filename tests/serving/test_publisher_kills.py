"""A publisher that is killed again and again, while training goes on."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from serving.decisions import read_decisions
from serving.versions import complete_versions
from tests.serving.conftest import ROOT
from tests.serving.published_runs import FakeRun, job_in, window

KILLS = 8


class Training(threading.Thread):
    """Writes windows and checkpoints, and removes all but two, until it is ended."""

    def __init__(self, run: FakeRun) -> None:
        super().__init__()
        self.run_folder = run
        self.ended = threading.Event()

    def run(self) -> None:
        step = 0
        told = self.run_folder.folder / "published/served.json"
        while not self.ended.wait(0.03):
            step += 10
            served = None
            if told.exists():
                served = json.loads(told.read_text())["version"]
            self.run_folder.windows(
                *(window(step - k, served=served) for k in (2, 1, 0))
            )
            self.run_folder.checkpoint(step)


@contextmanager
def publishing(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.serving.publisher_process", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "watching" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    run, models = FakeRun(job), Path(job.data.models)
    training, generator = Training(run), np.random.default_rng(5)
    training.start()
    try:
        for _ in range(KILLS):
            with publishing(tmp_path):
                time.sleep(generator.uniform(0.0, 0.8))
        with publishing(tmp_path) as process:
            deadline = time.monotonic() + 60
            while len(complete_versions(models)) < 3 and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            assert process.returncode == 0
    finally:
        training.ended.set()
        training.join()
    decisions = read_decisions(models)
    assert {d.action for d in decisions} <= {"published", "waits"}
    numbers = [d.version for d in decisions if d.action == "published"]
    assert numbers == list(range(1, len(numbers) + 1)), "each once"
    versions = sorted(complete_versions(models))
    # Of three that are kept; the signal may come before the oldest one is removed.
    assert versions == numbers[-len(versions) :] and 3 <= len(versions) <= 4
    published = run.folder / "published"
    for version in versions:
        report = json.loads(
            (models / f"{version}/assets.extra/export.json").read_text()
        )
        state = json.loads((published / f"{version}/state.json").read_text())
        weights = (published / f"{version}/variables.data-00000-of-00001").read_text()
        assert report["step"] == state["step"]
        assert weights == f"weights of {state['step']}"
    told = json.loads((published / "served.json").read_text())
    assert told["version"] == versions[-1]
    assert not list(models.glob(".*.*-*")) and not list(published.glob(".*"))
