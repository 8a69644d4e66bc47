"""Killing training at any step and resuming gives the weights of the whole run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

from configs import dump_job
from configs.manifest import read_statistics
from tests.trainer.example_sets import small_example_set, small_job
from trainer.assembly import assemble
from trainer.checkpoint import Checkpoints, State, read_state, restore
from trainer.devices import prepare_devices
from trainer.inputs.files import ExampleFiles
from trainer.interruption import Interruption
from trainer.loop import TrainingLoop
from trainer.run import Run
from trainer.train import train
from trainer.vocabularies import make_vocabularies

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def deterministic():
    yield
    tensorflow_config.disable_op_determinism()


def everything(checkpoint):
    """All variables and the state of a checkpoint, as bytes."""
    reader = tf.train.load_checkpoint(str(checkpoint / "variables"))
    found = {
        n: reader.get_tensor(n).tobytes() for n in reader.get_variable_to_shape_map()
    }
    return found | {"state": (checkpoint / "state.json").read_text()}


def differing(first, second):
    return sorted(n for n in first.keys() | second.keys() if first[n] != second[n])


SCHEDULE = "{name: cosine, warmup_steps: 3, decay_steps: 5}"


def test_every_step_of_a_small_run(tmp_path, deterministic):
    """With dropout, schedules and clipping; the compiled step is shared, so that this
    stays quick."""
    job = small_job(
        tmp_path,
        "training.batch_size=32",
        "training.epochs=2",
        "training.checkpoint_every=1",
        "training.keep_checkpoints=99",
        f"training.optimizer.dense={{clip_norm: 0.1, schedule: {SCHEDULE}}}",
        "training.optimizer.embeddings={name: lazy_adam, clip_norm: 0.1,"
        f" weight_decay: 0.1, schedule: {SCHEDULE}}}",
    )
    small_example_set(job)
    prepare_devices(job.training)
    # Blocks of 40 rows and batches of 32: most steps begin inside a block.
    source = ExampleFiles(
        job.data.examples, "train", job, batch_size=32, seed=3, block=40
    )
    statistics = read_statistics(job.data.examples)
    vocabularies = make_vocabularies(job, job.data.examples)
    run = Run.create(job, statistics=statistics, vocabularies=vocabularies)
    assembly = assemble(
        job,
        statistics=statistics,
        vocabularies=vocabularies,
        base_rates={"click": 0.25},
        element_spec=source.element_spec,
    )

    def train_from(state):
        loop = TrainingLoop(
            job,
            run,
            assembly,
            training=source,
            validation=None,
            state=state,
            callbacks=[],
            interruption=Interruption(),
        )
        return loop.run()

    start = State(model="m", examples=source.digest, seed=3)
    run.checkpoints.write(start, assembly.variables)
    assert train_from(start).step == 10
    whole = {s: everything(run.checkpoints.path(s)) for s in run.checkpoints.steps()}
    assert sorted(whole) == list(range(11))
    assert any("seed_generator" in name for name in whole[0])
    assert differing(whole[9], whole[10])
    for step in range(10):
        for later in range(step + 1, 11):
            shutil.rmtree(run.checkpoints.path(later))
        restore(run.checkpoints.path(step), assembly.variables)
        train_from(read_state(run.checkpoints.path(step)))
        again = everything(run.checkpoints.path(10))
        assert not differing(whole[10], again), f"resumed after step {step}"


@pytest.mark.slow
def test_resuming_through_train_with_evaluation_and_auxiliary_tasks(
    tmp_path, deterministic
):
    """Before the first step, inside of epochs, after an evaluation, and where an epoch
    ends."""
    job = small_job(
        tmp_path,
        "training.batch_size=32",
        "training.epochs=2",
        "training.checkpoint_every=1",
        "training.keep_checkpoints=99",
        "training.evaluate_every=3",
        "training.early_stopping.patience=9",
        "model.auxiliary=[{name: uim}, {name: nip}]",
    )
    small_example_set(job)
    run, saved = tmp_path / "run", tmp_path / "saved"
    train(job)
    checkpoints = Checkpoints(run / "checkpoints")
    whole = everything(checkpoints.path(10))
    lines = journal(run)
    shutil.copytree(run, saved)
    for step in (0, 2, 3, 5, 8):
        shutil.rmtree(run)
        shutil.copytree(saved, run)
        for later in range(step + 1, 11):
            shutil.rmtree(checkpoints.path(later))
        train(job, resume=True)
        assert not differing(whole, everything(checkpoints.path(10)))
        assert journal(run) == lines


def journal(run):
    lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    return [{**line, "rows_per_second": None} for line in lines]


def start_training(job_file, *options):
    command = [sys.executable, "-m", "trainer", "train", str(job_file), *options]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def big_enough(tmp_path):
    """A job whose training lasts a few seconds, and its file."""
    job = small_job(
        tmp_path,
        "training.epochs=40",
        "training.batch_size=4",
        "training.checkpoint_every=5",
        "training.keep_checkpoints=2",
    )
    small_example_set(job)
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job))
    return job, path


def wait_for_checkpoint(folder, process, after=0):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if max(Checkpoints(folder).steps(), default=0) > after:
            return
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint: {process.stderr.read()}")


@pytest.mark.slow
def test_kill_9_and_resume_gives_the_same_bits(tmp_path):
    job, path = big_enough(tmp_path)
    folder = Path(job.data.run) / "checkpoints"
    whole = start_training(path)
    assert whole.wait(timeout=200) == 0, whole.stderr.read()
    last = Checkpoints(folder).find("last")
    expected = everything(last)
    shutil.rmtree(job.data.run)
    process, seen = start_training(path), 0
    for _ in range(3):
        wait_for_checkpoint(folder, process, after=seen)
        time.sleep(0.03)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
        seen = Checkpoints(folder).steps()[-1]
        process = start_training(path, "--resume")
    assert process.wait(timeout=200) == 0, process.stderr.read()
    assert not differing(expected, everything(last))
    assert not list(folder.glob(".*partial*"))


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_says_so(tmp_path):
    job, path = big_enough(tmp_path)
    folder = Path(job.data.run) / "checkpoints"
    process = start_training(path)
    wait_for_checkpoint(folder, process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    step = Checkpoints(folder).steps()[-1]
    assert f"after step {step}" in errors and "--resume" in errors
    assert "Traceback" not in errors
