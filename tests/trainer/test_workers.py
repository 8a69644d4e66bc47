"""Worker processes train what one process trains, and end together."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs import dump_job
from configs.errors import JobError
from tests.trainer.example_sets import random_rows, small_job, write_example_set
from trainer.checkpoint import Checkpoints, read_state
from trainer.workers import run_workers

ROOT = Path(__file__).resolve().parents[2]

TOLERANCE = 2e-5
"""Of all weights and slots after 50 steps. Replicas add the same numbers in another
order; Adam divides by roots of them, which widens the differences."""


def prepared(tmp_path, *overrides):
    """A job of 50 steps an epoch, the last of a single row, and its file."""
    job = small_job(
        tmp_path,
        "training.batch_size=16",
        "model.backbone.dropout=0.0",
        "training.deterministic=false",
        "training.checkpoint_every=10",
        *overrides,
    )
    write_example_set(
        job,
        {
            "train": [random_rows(job, 49 * 16 + 1, seed=1)],
            "validation": [random_rows(job, 33, seed=2)],
        },
    )
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job))
    return path


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(*arguments):
    process = start(*arguments)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output[-3000:]
    return output


def variables(run):
    folder = Checkpoints(run / "checkpoints").find("last")
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    names = reader.get_variable_to_shape_map()
    return read_state(folder), {name: reader.get_tensor(name) for name in names}


def compare(first, second):
    (state, values), (other_state, other_values) = variables(first), variables(second)
    assert state.step == other_state.step
    assert values.keys() == other_values.keys()
    for name, value in values.items():
        np.testing.assert_allclose(
            other_values[name], value, rtol=0, atol=TOLERANCE, err_msg=name
        )
    mine, other = state.validation["click"], other_state.validation["click"]
    assert mine["rows"] == other["rows"]
    assert mine["log_loss"] == pytest.approx(other["log_loss"], abs=1e-5)


def wait_for_checkpoint(run, process, after=0):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        steps = Checkpoints(run / "checkpoints").steps()
        if steps and steps[-1] > after:
            return steps[-1]
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no checkpoint: {process.communicate()[0][-3000:]}")


def children_of(process):
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process.pid:
                pids.append(int(entry.name))
    return sorted(pids)


def gone(pids):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_no_workers_are_refused():
    with pytest.raises(JobError, match="expected 1 or more"):
        run_workers(0, ["train"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("training.steps_per_call=4",),
        (
            "training.optimizer.dense={name: sgd, learning_rate: 0.1}",
            "training.optimizer.embeddings={name: sgd, learning_rate: 0.5, l2: 0.01}",
            "model.tasks.click.losses=[{name: combined_pair}]",
        ),
    ],
)
def test_two_workers_equal_one_process_after_50_steps(tmp_path, overrides):
    job = prepared(tmp_path, *overrides)
    finished("train", job, "--set", f"data.run={tmp_path / 'one'}")
    output = finished("workers", 2, job)
    compare(tmp_path / "one", tmp_path / "run")
    assert output.count("trained 50 steps") == 1
    assert "[worker 1]" in output


@pytest.mark.slow
def test_a_worker_killed_ends_all_and_resuming_gives_the_whole_run(tmp_path):
    job = prepared(tmp_path, "training.epochs=8", "training.deterministic=true")
    finished("workers", 2, job, "--set", f"data.run={tmp_path / 'whole'}")
    run = tmp_path / "run"
    process = start("workers", 2, job)
    wait_for_checkpoint(run, process)
    workers = children_of(process)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode, output[-3000:]
    assert gone(workers)
    finished("workers", 2, job, "--resume")
    (state, values), (_, expected) = variables(run), variables(tmp_path / "whole")
    assert state.step == 400
    for name, value in expected.items():
        assert np.array_equal(values[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("target", ["parent", "chief", "other"])
def test_sigterm_stops_all_at_one_step(tmp_path, target):
    job = prepared(tmp_path, "training.epochs=2000")
    run = tmp_path / "run"
    process = start("workers", 2, job)
    wait_for_checkpoint(run, process)
    workers = children_of(process)
    pid = dict(parent=process.pid, chief=workers[0], other=workers[1])[target]
    os.kill(pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, output[-3000:]
    assert gone(workers)
    (said,) = re.findall(r"stopped by signal 15 after step ([\d,]+)", output)
    assert variables(run)[0].step == int(said.replace(",", ""))
    assert "Traceback" not in output


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    job = prepared(tmp_path, "training.epochs=2000")
    process = start("workers", 2, job)
    wait_for_checkpoint(tmp_path / "run", process)
    workers = children_of(process)
    process.kill()
    process.communicate(timeout=60)
    assert gone(workers)
