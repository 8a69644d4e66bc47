"""One device and two logical devices train the same weights."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs import dump_job
from tests.trainer.example_sets import random_rows, small_job, write_example_set

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import sys
import numpy as np
from configs import load_job
from trainer.checkpoint import Checkpoints, shapes_in
from trainer.train import train
import tensorflow as tf

job = load_job(sys.argv[1], sys.argv[3:])
state = train(job).state
folder = Checkpoints(__import__("pathlib").Path(job.data.run) / "checkpoints").find()
reader = tf.train.load_checkpoint(str(folder / "variables"))
names = [n for n in reader.get_variable_to_shape_map() if n.startswith("inference/")]
values = {n.replace("/", "|"): reader.get_tensor(n) for n in names}
np.savez(sys.argv[2], step=state.step, auc=state.validation["click"]["auc"], **values)
"""


def trained(job, folder, devices, *overrides):
    path = folder / "job.yaml"
    path.write_text(dump_job(job))
    output = folder / f"weights_{devices}.npz"
    options = [f"data.run={folder / f'run_{devices}'}", *overrides]
    if devices > 1:
        options += ["training.strategy=mirrored", f"training.logical_devices={devices}"]
    command = [sys.executable, "-c", SCRIPT, str(path), str(output), *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(output))


def compare(tmp_path, devices, rows, steps, *overrides):
    job = small_job(
        tmp_path,
        "training.batch_size=16",
        "model.backbone.dropout=0.0",
        "training.deterministic=false",
        *overrides,
    )
    write_example_set(
        job,
        {
            "train": [random_rows(job, rows, seed=1)],
            "validation": [random_rows(job, 33, seed=2)],
        },
    )
    one = trained(job, tmp_path, 1)
    several = trained(job, tmp_path, devices)
    assert one.keys() == several.keys()
    assert int(one["step"]) == int(several["step"]) == steps
    for name, value in one.items():
        np.testing.assert_allclose(
            several[name], value, rtol=0, atol=1e-5, err_msg=name
        )


SGD = (
    "training.optimizer.dense={name: sgd, learning_rate: 0.1}",
    "training.optimizer.embeddings={name: sgd, learning_rate: 0.5, l2: 0.01}",
)


def test_two_devices_equal_one_after_20_steps_of_sgd(tmp_path):
    # 19 whole batches and one of a single row: the second device then has none.
    compare(tmp_path, 2, 19 * 16 + 1, 20, *SGD)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("training.optimizer.dense={name: adagrad, clip_norm: 0.05}",),
        (
            "training.optimizer.dense={name: adamw, weight_decay: 0.1}",
            "training.optimizer.embeddings.name=adagrad",
        ),
    ],
)
def test_three_devices_and_other_optimizers(tmp_path, overrides):
    compare(tmp_path, 3, 9 * 16 + 4, 10, *overrides)
