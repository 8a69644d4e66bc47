"""The device check passes on logical devices, and sees what differs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from configs.errors import JobError
from configs.loading import dump_job, parse_job
from tests.trainer.model_jobs import small_job
from trainer.device_check.check import _comparisons, _dropouts, check_devices

ROOT = Path(__file__).resolve().parents[3]


def probe(folder, **changes):
    folder.mkdir()
    arrays = {
        "before/inference/w": np.ones(3, np.float32),
        "after/inference/w": np.array([1.0, 1.1, 1.0], np.float32),
        "gradient/losses": np.array([0.5, 0.4]),
        "gradient/dense/0": np.array([0.0, -0.1, 0.0], np.float32),
    }
    np.savez(folder / "probe.npz", **(arrays | changes))
    return folder


def test_nothing_is_dropped_where_devices_are_compared():
    expert = "{name: dnn, dropout: 0.5}"
    job = small_job(
        f"model.backbone={{name: experts, dropout: 0.1, sets: [{{experts: [{{name:"
        f" dnn}}, {expert}]}}, {{dim: 2, experts: [{expert}]}}]}}",
        "model.multi_task={name: mmoe, dropout: 0.2}",
    )
    overrides = list(_dropouts(job.model.model_dump(), "model"))
    assert overrides == [
        "model.backbone.dropout=0.0",
        "model.backbone.sets.0.experts.1.dropout=0.0",
        "model.backbone.sets.1.experts.0.dropout=0.0",
        "model.multi_task.dropout=0.0",
    ]
    assert not list(
        _dropouts(parse_job(dump_job(job), overrides).model.model_dump(), "")
    )


def test_equal_probes_pass(tmp_path):
    checks = _comparisons(probe(tmp_path / "a"), probe(tmp_path / "b"), 5)
    assert [check.passed for check in checks] == [True] * 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gradient/losses", np.array([0.5, 0.8])),
        ("gradient/dense/0", np.array([0.0, -0.2, 0.0], np.float32)),
        ("gradient/dense/0", np.array([0.0, np.nan, 0.0], np.float32)),
        ("after/inference/w", np.array([1.0, 1.1, 1.01], np.float32)),
        ("gradient/dense/0", np.zeros(4, np.float32)),
    ],
)
def test_a_difference_fails_one_check(tmp_path, key, value):
    other = probe(tmp_path / "b", **{key: value})
    checks = _comparisons(probe(tmp_path / "a"), other, 5)
    assert sum(not check.passed for check in checks) == 1


@pytest.mark.parametrize("counts", [{"devices": 1}, {"steps": 0}])
def test_nothing_to_compare_is_refused(counts):
    with pytest.raises(JobError, match="nothing to compare"):
        check_devices(None, **counts)


@pytest.mark.slow
def test_two_logical_devices_pass(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "check-devices", "--steps", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict: all devices train what one device trains" in done.stdout
    assert "rows of tables" in done.stdout
    assert "killed after step" in done.stdout
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
