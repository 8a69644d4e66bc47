"""Several steps a call: the same run, bit by bit, and callbacks that miss nothing."""

import json

import keras
import pytest
from tensorflow.python.framework import config as tensorflow_config

from tests.trainer.example_sets import small_example_set, small_job
from tests.trainer.test_resume import differing, everything
from trainer.checkpoint import Checkpoints
from trainer.loop import TrainingLoop
from trainer.train import train


@pytest.fixture
def deterministic():
    yield
    tensorflow_config.disable_op_determinism()


def trained(folder, steps_per_call, callbacks=()):
    """Returns what the checkpoints and the journal of a run hold."""
    folder.mkdir()
    job = small_job(
        folder,
        "training.batch_size=16",
        "training.max_steps=17",
        "training.epochs=2",
        "training.checkpoint_every=6",
        "training.keep_checkpoints=9",
        "training.evaluate_every=4",
        f"training.steps_per_call={steps_per_call}",
    )
    small_example_set(job)
    train(job, callbacks=callbacks)
    checkpoints = Checkpoints(folder / "run" / "checkpoints")
    found = {step: everything(checkpoints.path(step)) for step in checkpoints.steps()}
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return found, [{**json.loads(x), "rows_per_second": None} for x in lines]


@pytest.mark.slow
def test_checkpoints_and_journal_are_the_same(tmp_path, deterministic):
    one, lines = trained(tmp_path / "one", 1)
    five, again = trained(tmp_path / "five", 5)
    assert sorted(one) == sorted(five) and {6, 10, 12, 17} <= set(one)
    for step in one:
        assert not differing(one[step], five[step]), step
    assert lines == again


@pytest.mark.slow
def test_a_callback_that_watches_batches_sees_each(tmp_path, deterministic):
    class Watcher(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(batch)

    watcher = Watcher()
    trained(tmp_path / "watched", 5, [watcher])
    assert watcher.seen == [*range(10), *range(7)]


class Lines:
    def __init__(self):
        self.written = []

    def write(self, text):
        self.written.append(text)


def test_contexts_without_pairs_are_warned_of_once():
    loop = TrainingLoop.__new__(TrainingLoop)
    loop._warned, loop._progress = set(), Lines()
    loop._warn_of_lonely_contexts({"loss": 0.1, "click/contexts_with_pairs": 0.8})
    assert not loop._progress.written
    for _ in range(2):
        loop._warn_of_lonely_contexts({"loss": 0.1, "click/contexts_with_pairs": 0.2})
    (line,) = loop._progress.written
    assert "click/contexts_with_pairs is 0.20" in line
