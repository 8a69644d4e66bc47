"""A stream of example sets: each row is scored, then learned, once, in order."""

import pytest
from tensorflow.python.framework import config as tensorflow_config

from configs import Job
from tests.trainer.stream.sets import (
    SIZES,
    differing,
    everything,
    publish,
    publish_all,
    stream_job,
    untimed,
    windows,
)
from trainer.stream.train import train_on_stream


@pytest.fixture(autouse=True)
def deterministic():
    yield
    tensorflow_config.disable_op_determinism()


def test_windows_of_a_folder(tmp_path):
    job = stream_job(tmp_path)
    publish_all(job)
    result = train_on_stream(job, until_end=True)
    lines = windows(job)
    assert [line["rows"] for line in lines] == [40, 40, 40, 40, 28]
    assert result.state.stream.rows == sum(SIZES)
    # Windows of 40 rows in batches of 16 are steps of 16, 16 and 8 rows.
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 14]
    assert [line["scored_step"] for line in lines] == [0, 3, 6, 9, 12]
    ends = [(x["position"]["set"], x["position"]["row"]) for x in lines]
    assert ends[:2] == [("00000000", 40), ("00000002", 10)]
    assert ends[-1] == ("00000004", 21)
