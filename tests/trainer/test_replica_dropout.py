"""Dropout over two logical devices: other masks on each, and an exact resume."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import shutil, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from tests.trainer.example_sets import small_example_set, small_job
from tests.trainer.test_resume import differing, everything
from trainer.checkpoint import Checkpoints
from trainer.layers.mlp import Dropout
from trainer.train import train

job = small_job(
    Path(sys.argv[1]),
    "training.batch_size=32", "training.checkpoint_every=1",
    "training.keep_checkpoints=9", "model.backbone.dropout=0.5",
    "training.strategy=mirrored", "training.logical_devices=2",
)
small_example_set(job)
train(job)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = Dropout(0.5, name="dropout", seed=1)
    masks = strategy.run(lambda: layer(tf.ones([8, 16]), training=True)).values
    assert np.mean(masks[0].numpy() != masks[1].numpy()) > 0.3
    states = [state.numpy() for state in layer._seeds.state.value.values]
    np.testing.assert_array_equal(*states)
checkpoints = Checkpoints(Path(job.data.run) / "checkpoints")
whole = everything(checkpoints.path(5))
for step in (3, 1):
    for later in range(step + 1, 6):
        shutil.rmtree(checkpoints.path(later))
    train(job, resume=True)
    again = everything(checkpoints.path(5))
    assert not differing(whole, again), (step, differing(whole, again))
"""


@pytest.mark.slow
def test_masks_differ_between_replicas_and_a_resume_is_exact(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
