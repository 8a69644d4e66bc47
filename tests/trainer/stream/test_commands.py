"""The command: waits for sets, follows them, ends with a checkpoint; warm starts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorflow.python.framework import config as tensorflow_config

from configs import CheckpointError, Job, dump_job
from tests.trainer.stream.sets import publish, stream_job, windows
from trainer.checkpoint import Checkpoints, State, read_state
from trainer.interruption import Interruption
from trainer.run import Run
from trainer.stream.start import begin, first_state
from trainer.stream.state import SetMark, StreamState
from trainer.stream.train import train_on_stream
from trainer.stream.warm_start import position_behind
from trainer.train import train

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def deterministic():
    yield
    tensorflow_config.disable_op_determinism()


def batch_state(**changes: object) -> State:
    mark = SetMark(name="00000001", digest="d")
    state = State(step=9, epoch=1, model="m", examples="e", seed=0, last_set=mark)
    return state.model_copy(update=changes)


def test_a_stream_goes_on_behind_the_last_set_of_a_batch_run(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    publish(job, 0, 20)
    publish(job, 1, 30)
    found = position_behind(job, batch_state(), None)
    assert (found["set"], found["row"], found["digest"]) == ("00000001", 30, "d")
    whole = batch_state(last_set=SetMark(name="", digest="d"))
    assert position_behind(job, whole, None) == {}  # another set than a stream's
    assert position_behind(job, batch_state(step=0, epoch=0), None) == {}


def test_a_batch_run_inside_an_epoch_is_refused(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    with pytest.raises(CheckpointError, match="stands at row 7 of epoch 2, in an"):
        position_behind(job, batch_state(row=7), None)
    with pytest.raises(CheckpointError, match="does not say on which example sets"):
        position_behind(job, batch_state(last_set=None), None)


def test_behind_a_set_that_went_to_kafka_too(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    folder = publish(job, 1, 30)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["stream"] = {"batch": 1, "topics": {"examples": {"0": 12, "3": 18}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = position_behind(job, batch_state(), "examples")
    assert found == {"examples": {"0": 12, "3": 18}}
    elsewhere = batch_state(last_set=SetMark(name="", digest="d"))
    assert position_behind(job, elsewhere, "examples") == {}


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_alike(
    tmp_path: Path,
) -> None:
    """Its heads start at the rates of the rows again, not at 0."""
    job = stream_job(tmp_path)
    publish(job, 0, 40)
    first = begin(job, Interruption(), overwrite=False, wait=False)
    assert first is not None and first.run is None and first.split.rows == 40
    run = Run.create(job, statistics=first.statistics, vocabularies=first.vocabularies)
    again = begin(job, Interruption(), overwrite=False, wait=False)
    assert again is not None and again.run is not None
    assert again.split == first.split and again.statistics == first.statistics
    state, folder = first_state(job, run, None)
    assert folder is None and state.stream == StreamState()


@pytest.mark.slow
def test_train_on_sets_then_stream_the_next_ones(
    tmp_path: Path, deterministic: None
) -> None:
    job = stream_job(tmp_path, "training.epochs=2")
    publish(job, 0, 50)
    publish(job, 1, 30)
    train(job)
    before = read_state(Checkpoints(tmp_path / "run/checkpoints").find("last"))
    assert before.last_set is not None and before.last_set.name == "00000001"
    publish(job, 2, 45)
    publish(job, 3, 20)
    state = train_on_stream(job, until_end=True).state
    assert state.stream is not None and state.stream.rows == 65
    first = windows(job)[0]
    assert first["scored_step"] == before.step == 10
    assert (first["window"], first["position"]["set"]) == (0, "00000002")
    with pytest.raises(CheckpointError, match="is the run of a stream"):
        train(job, resume=True)


def start(job: Job, folder: Path) -> subprocess.Popen[str]:
    path = folder / "job.yaml"
    path.write_text(dump_job(job))
    command = [sys.executable, "-m", "trainer", "stream", str(path)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def wait_until(
    said: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120
) -> None:
    deadline = time.monotonic() + seconds
    while not said():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(process.communicate()[1])
        time.sleep(0.05)


@pytest.mark.slow
def test_a_live_folder_until_sigterm(tmp_path: Path) -> None:
    """Nothing is there at first; sets come; windows close by time; SIGTERM. Two devices
    share the batches; of the last one of a window the second one has no row."""
    job = stream_job(
        tmp_path,
        "stream.train.window_wait=1s",
        "stream.train.checkpoint_windows=100",
        "training.strategy=mirrored",
        "training.logical_devices=2",
        "features.item.embedding={vocabulary: {min_count: 15, spare: 2}}",
    )
    process = start(job, tmp_path)

    def rows() -> int:
        file = Path(job.data.run, "metrics.jsonl")
        return sum(w["rows"] for w in windows(job)) if file.exists() else 0

    assert process.stderr is not None
    said = next(line for line in process.stderr if "waiting for the first" in line)
    assert said.startswith("waiting for the first example set in")
    publish(job, 0, 57)
    wait_until(lambda: rows() == 57, process)
    assert [w["rows"] for w in windows(job)] == [40, 17]
    publish(job, 1, 0)
    publish(job, 2, 10)
    wait_until(lambda: rows() == 67, process)
    assert [w["tasks"]["click"]["rows"] for w in windows(job)] == [40, 17, 10]
    assert sum(w["vocabularies"]["item"]["given"] for w in windows(job)) == 2
    line = windows(job)[-1]
    assert line["lag_rows"] == 0 and 0.0 <= line["arrival_s"] < 60.0
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors
    state = read_state(Checkpoints(Path(job.data.run) / "checkpoints").find("last"))
    assert isinstance(state.stream, StreamState) and state.stream.rows == 67
    assert f"after step {state.step}" in errors


def test_the_first_signal_is_noted_and_the_second_one_acts() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        assert signal.getsignal(signal.SIGTERM) != before
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == before
