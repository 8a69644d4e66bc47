"""One device and two logical devices train the same weights, by the whole of `train`.

More devices, and other optimizers, are in `tests/trainer/test_replicas.py`.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from configs import dump_job
from tests.trainer.example_sets import random_rows, small_job, write_example_set

ROOT = Path(__file__).resolve().parents[2]

STEPS = 20

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from configs import load_job
from trainer.checkpoint import Checkpoints
from trainer.train import train
import tensorflow as tf

# Two devices first: they must be settled before TensorFlow starts.
for devices, overrides in ("2", sys.argv[2:]), ("1", []):
    run = Path(sys.argv[1]).with_name(f"run_{devices}")
    state = train(load_job(sys.argv[1], [*overrides, f"data.run={run}"])).state
    folder = Checkpoints(run / "checkpoints").find()
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    names = [n for n in reader.get_variable_to_shape_map() if n[:10] == "inference/"]
    values = {n.replace("/", "|"): reader.get_tensor(n) for n in names}
    auc = state.validation["click"]["auc"]
    np.savez(run / "weights.npz", step=state.step, auc=auc, **values)
"""


def test_two_devices_equal_one_after_20_steps_of_sgd(tmp_path):
    job = small_job(
        tmp_path,
        "training.batch_size=16",
        "model.backbone.dropout=0.0",
        "training.deterministic=false",
        "training.optimizer.dense={name: sgd, learning_rate: 0.1}",
        "training.optimizer.embeddings={name: sgd, learning_rate: 0.5, l2: 0.01}",
    )
    # 19 whole batches and one of a single row: the second device then has none.
    rows = random_rows(job, (STEPS - 1) * 16 + 1, seed=1)
    validation = random_rows(job, 33, seed=2)
    write_example_set(job, {"train": [rows], "validation": [validation]})
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job))
    two = ("training.strategy=mirrored", "training.logical_devices=2")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), *two],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, several = (
        dict(np.load(tmp_path / f"run_{devices}" / "weights.npz")) for devices in (1, 2)
    )
    assert one.keys() == several.keys()
    assert int(one["step"]) == int(several["step"]) == STEPS
    for name, value in one.items():
        np.testing.assert_allclose(
            several[name], value, rtol=0, atol=1e-5, err_msg=name
        )
