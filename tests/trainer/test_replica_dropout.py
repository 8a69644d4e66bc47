"""Dropout over two logical devices: other masks on each, and an exact resume."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from configs import dump_job
from tests.trainer.example_sets import small_example_set, small_job
from tests.trainer.test_resume import differing, everything
from trainer.checkpoint import Checkpoints

ROOT = Path(__file__).resolve().parents[2]

MASKS = """
import numpy as np
import tensorflow as tf
from tensorflow.config import LogicalDeviceConfiguration
from trainer.layers.mlp import Dropout

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = Dropout(0.5, name="dropout", seed=1)
    seen = []
    for _ in range(2):
        masks = strategy.run(lambda: layer(tf.ones([8, 16]), training=True)).values
        seen += [mask.numpy() for mask in masks]
for first in range(4):
    for second in range(first):
        assert np.mean(seen[first] != seen[second]) > 0.3
np.testing.assert_array_equal(*[s.numpy() for s in layer._seeds.state.value.values])
"""


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_masks_differ_between_replicas_and_from_step_to_step():
    run("-c", MASKS)


@pytest.mark.slow
def test_a_resumed_run_on_two_devices_equals_the_whole_one(tmp_path):
    job = small_job(
        tmp_path,
        "training.batch_size=16",
        "training.max_steps=8",
        "training.checkpoint_every=4",
        "training.keep_checkpoints=9",
        "model.backbone.dropout=0.5",
        "training.strategy=mirrored",
        "training.logical_devices=2",
    )
    small_example_set(job)
    (tmp_path / "job.yaml").write_text(dump_job(job))
    train = ("-m", "trainer", "train", str(tmp_path / "job.yaml"))
    run(*train)
    checkpoints = Checkpoints(Path(job.data.run) / "checkpoints")
    whole = everything(checkpoints.path(8))
    shutil.rmtree(checkpoints.path(8))
    run(*train, "--resume", "--set", "training.steps_per_call=3")
    again = everything(checkpoints.path(8))
    assert not differing(whole, again)
