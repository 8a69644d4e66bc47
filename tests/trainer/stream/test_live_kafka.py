"""A topic that is written while it is learned, and the same windows once more."""

import shutil
import threading
import time
from pathlib import Path

import pytest
from tensorflow.python.framework import config as tensorflow_config

from tests.kafka_cluster import MockKafka
from tests.trainer.inputs.kafka_messages import examples
from tests.trainer.stream.made import Made
from tests.trainer.stream.sets import (
    differing,
    everything,
    publish,
    stream_job,
    untimed,
    windows,
)
from trainer.checkpoint import State, read_state, restore
from trainer.interruption import Interruption
from trainer.stream.state import StreamState

BURSTS = (4, 25, 60, 11, 50)
ROWS = sum(BURSTS)


@pytest.fixture(autouse=True)
def deterministic():
    yield
    tensorflow_config.disable_op_determinism()


@pytest.mark.slow
def test_a_live_topic_and_its_replay_give_the_same_bits(
    tmp_path: Path, mock_kafka: MockKafka, topic_name: str
) -> None:
    job = stream_job(
        tmp_path,
        f"stream.kafka={{servers: '{mock_kafka.servers}'}}",
        f"stream.examples_topic={topic_name}",
        "stream.train.window_wait=100ms",
        "stream.train.checkpoint_windows=1",
        "training.keep_checkpoints=99",
    )
    publish(job, 0, 40)  # of its statistics alone
    values = examples(job, ROWS)
    made = Made(job)
    interruption = Interruption()

    def write() -> None:
        """Writes bursts, each when the one before is learned."""
        first = 0
        for rows in BURSTS:
            for number in range(first, first + rows):
                mock_kafka.send(topic_name, {number % 7 % 4: [values[number]]})
            first += rows
            deadline = time.monotonic() + 60
            while len(made.ids) < first and time.monotonic() < deadline:
                time.sleep(0.01)
        interruption.signal = 15

    writer = threading.Thread(target=write)
    writer.start()
    state = State(model="m", examples="", seed=3, stream=StreamState())
    made.learn(state, interruption, until_end=False)
    writer.join()
    assert sorted(made.ids) == [1000 + n for n in range(ROWS)]
    lines, whole, live = untimed(job), everything(job), list(made.ids)
    assert len(lines) > 5 and min(line["rows"] for line in lines) < 40

    run = made.run
    for step in run.checkpoints.steps()[1:]:
        shutil.rmtree(run.checkpoints.path(step))
    restore(run.checkpoints.path(0), made.assembly.variables)
    made.ids.clear()
    made.learn(read_state(run.checkpoints.path(0)))
    assert made.ids == live
    assert untimed(job) == lines
    assert not differing(whole, everything(job))
    assert windows(job)[-1]["lag_rows"] == 0
