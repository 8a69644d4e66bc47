"""`--profile` leaves a trace of the steps that it names."""

import pytest

from configs.errors import JobError
from tests.trainer.example_sets import small_example_set, small_job
from trainer.profile import profiled_steps
from trainer.train import train


def test_steps_are_read():
    assert profiled_steps("3:5") == (3, 5)
    assert profiled_steps("4:4") == (4, 4)


@pytest.mark.parametrize(
    "text", ["", "3", "0:4", "5:3", "a:b", "-1:3", "1:2:3", "\u00b2:3"]
)
def test_other_steps_are_refused(text):
    with pytest.raises(JobError, match="FIRST:LAST"):
        profiled_steps(text)


def test_a_trace_is_written(tmp_path, capsys):
    job = small_job(tmp_path, "training.deterministic=false")
    small_example_set(job)
    train(job, profile=(2, 3))
    (trace,) = (tmp_path / "run" / "tensorboard").rglob("*.xplane.pb")
    assert trace.stat().st_size > 1000
    assert "steps 2 to 3 are profiled" in capsys.readouterr().err


def test_a_training_that_ends_before_says_so(tmp_path, capsys):
    job = small_job(tmp_path, "training.deterministic=false", "training.max_steps=1")
    small_example_set(job)
    train(job, profile=(2, 3))
    assert not list((tmp_path / "run").rglob("*.xplane.pb"))
    assert "nothing was profiled" in capsys.readouterr().err
