"""The broker that tests, demo and benchmarks use."""

import subprocess
import sys
import time

import pytest


def test_the_mock_cluster_keeps_order_and_partitions(mock_kafka, topic_name):
    mock_kafka.send(topic_name, {0: [b"a", b"b"], 2: [b"c"]})
    assert mock_kafka.read(topic_name) == {0: [b"a", b"b"], 1: [], 2: [b"c"], 3: []}
    assert mock_kafka.ends(topic_name)[0] == (0, 2)


@pytest.mark.slow
def test_messages_outlive_a_restart_and_a_crash_of_the_broker(kafka_broker, topic_name):
    kafka_broker.make_topic(topic_name, 2)
    kafka_broker.send(topic_name, {0: [b"a"], 1: [b"b"]}, times={0: [1], 1: [2]})
    kafka_broker.broker.restart()
    kafka_broker.send(topic_name, {0: [b"c"]})
    kafka_broker.broker.kill()
    kafka_broker.broker.start()
    kafka_broker.grow(topic_name, 3)
    assert kafka_broker.read(topic_name) == {0: [b"a", b"c"], 1: [b"b"], 2: []}
    kafka_broker.drop_before(topic_name, {0: 1})
    assert kafka_broker.ends(topic_name)[0] == (1, 2)


@pytest.mark.slow
def test_the_broker_ends_with_the_process_that_made_it(
    kafka_broker, tmp_path, project_root
):
    program = (
        "from scripts.kafka import Broker\nimport os, signal, sys\n"
        "broker = Broker(sys.argv[1])\nbroker.start()\nprint(broker.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=project_root,
        check=False,
    )
    pid = int(ended.stdout)
    for _ in range(100):
        if not _alive(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"the broker {pid} lives on")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
