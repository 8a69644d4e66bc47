"""The join with Kafka in and out: killed, its broker stopped, its topics growing."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from configs import Job
from configs.manifest import read_manifest
from configs.stream_sets import stream_sets
from preprocessing.run import preprocess
from preprocessing.tfrecord import read_records
from tests.kafka_cluster import MockKafka, RealKafka
from tests.preprocessing.stream.making_streams import (
    NAMES,
    START,
    Arriving,
    Feed,
    random_arrivals,
    read_all,
    rows_of,
    stream_job,
)

LOGS = dict(zip(("impressions", "click", "conversion", "view"), NAMES, strict=True))
"""The file of each log in the folder of a feed."""
IN, OUT = 2, 3
"""Partitions of the logs' topics, and of the examples'."""
SPLIT = ("preprocessing.split={by: hash, validation: 0.0, test: 0.0}",)


def kafka_job(
    root: Path, servers: str, logs: str, examples: str, **join: object
) -> Job:
    """The job of the streams' tests over topics, with everything in `root`."""
    return stream_job(
        root,
        f"name={examples}",
        f"stream.kafka={json.dumps({'servers': servers})}",
        f"stream.examples_topic={examples}",
        *SPLIT,
        topics={name: f"{logs}-{name}" for name in LOGS},
        **join,
    )


class Topics:
    """Logs in topics, to which records are added as they come."""

    def __init__(self, kafka: RealKafka, name: str, arriving: Arriving) -> None:
        self._kafka, self._name = kafka, name
        self._left = {log: list(arriving[file]) for log, file in LOGS.items()}
        for log in LOGS:
            kafka.make_topic(f"{name}-{log}", IN)

    def until(self, moment: float, partitions: int = IN) -> None:
        for log, records in self._left.items():
            values: dict[int, list[bytes | None]] = {n: [] for n in range(partitions)}
            times: dict[int, list[int]] = {n: [] for n in range(partitions)}
            come = [record for record in records if record[0] <= moment]
            del records[: len(come)]
            for number, (at, record) in enumerate(come):
                values[number % partitions].append(json.dumps(record).encode())
                times[number % partitions].append(at)
            self._kafka.send(f"{self._name}-{log}", values, times=times)


def training_bytes(job: Job) -> dict[str, list[bytes]]:
    """The bytes of the training shards, by set."""
    return {
        folder.name: [
            (folder / shard.path).read_bytes()
            for shard in read_manifest(folder).splits["train"].shards
        ]
        for folder in stream_sets(job.data.examples).values()
    }


def rows_in_sets(job: Job) -> Counter[bytes]:
    return Counter(
        record
        for folder in stream_sets(job.data.examples).values()
        for shard in read_manifest(folder).splits["train"].shards
        for record in read_records(folder / shard.path)
    )


def rows_in_topic(kafka: RealKafka, job: Job) -> Counter[bytes]:
    found = kafka.read(job.stream.examples_topic)
    return Counter(value for values in found.values() for value in values)


PROGRAM = """
import json, os, signal, sys, threading
from pathlib import Path
from tests.preprocessing.stream.making_streams import read_all
from tests.preprocessing.stream.test_kafka_join import kafka_job
import preprocessing.stream.keyed_examples, preprocessing.stream.kafka_output
import preprocessing.stream.kafka_logs
root, servers, logs, examples, kills = sys.argv[1:]
job = kafka_job(Path(root), servers, logs, examples, max_records=40)
ended = []
for seconds in json.loads(kills):
    # All is imported, and nothing has been started yet.
    if not (child := os.fork()):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        read_all(job)
        os._exit(0)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    if ended[-1] != -signal.SIGKILL:
        break
print(json.dumps(ended))
"""


@pytest.mark.slow
def test_kills_change_no_example(
    kafka_broker: RealKafka, topic_name: str, tmp_path: Path
) -> None:
    topics = Topics(kafka_broker, topic_name, random_arrivals(8))
    topics.until(float("inf"))
    for name in ("whole", "killed"):
        kafka_broker.make_topic(f"{topic_name}-{name}", OUT)
        (tmp_path / name).mkdir()

    def job_of(name: str) -> Job:
        return kafka_job(
            tmp_path / name,
            kafka_broker.servers,
            topic_name,
            f"{topic_name}-{name}",
            max_records=40,
        )

    whole, job = job_of("whole"), job_of("killed")
    began = time.monotonic()
    sets = len(read_all(whole))
    assert sets > 10
    # At random moments, so that a run makes about half a set; a machine that others
    # use may be several times as fast now.
    longest = 1.2 * (time.monotonic() - began) / sets
    kills = np.random.default_rng(9).uniform(0.05, longest, 8).tolist()
    ended = subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM, str(tmp_path / "killed")),
            *(kafka_broker.servers, topic_name, f"{topic_name}-killed"),
            json.dumps(kills),
        ],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout).count(-signal.SIGKILL) >= 1, ended
    read_all(job)
    assert training_bytes(job) == training_bytes(whole)
    found = [kafka_broker.read(f"{topic_name}-{name}") for name in ("whole", "killed")]
    assert found[0] == found[1]
    assert rows_in_topic(kafka_broker, job) == rows_in_sets(job)


def test_messages_that_are_no_records_are_dead_letters_with_their_offsets(
    mock_kafka: MockKafka, topic_name: str, tmp_path: Path
) -> None:
    arriving = random_arrivals(11)
    values = {
        log: [json.dumps(record).encode() for _, record in arriving[file]]
        for log, file in LOGS.items()
    }
    poison: list[bytes | None] = [b"{", None, b"[]", b""]
    mock_kafka.send(f"{topic_name}-impressions", {2: [*poison, *values["impressions"]]})
    mock_kafka.send(f"{topic_name}-click", {0: [*values["click"], b"\x00\xff"]})
    # Partitions with nothing else: each of another kind.
    mock_kafka.send(f"{topic_name}-conversion", {2: [b"nothing"], 3: [b'{"time": 1}']})
    for log in ("conversion", "view"):
        mock_kafka.send(f"{topic_name}-{log}", {1: values[log]})
    topics = {name: f"{topic_name}-{name}" for name in LOGS}
    servers = {"servers": mock_kafka.servers}
    kafka = f"stream.kafka={json.dumps(servers)}"
    share = "preprocessing.dead_letters={max_share: 0.2}"
    job = stream_job(tmp_path / "topics", kafka, share, *SPLIT, topics=topics)
    (made,) = read_all(job)
    Feed(tmp_path / "files", arriving).until(float("inf"))
    clean = stream_job(tmp_path / "files", share, *SPLIT)
    read_all(clean)
    # Training is on the clean rest alone.
    assert rows_in_sets(job) == rows_in_sets(clean)
    assert made.dead_letters["impressions.unparsable"] == 4
    letters = Path(job.data.examples, "00000000", "dead_letters")
    found = (letters / "impressions.unparsable.jsonl").read_text()
    for offset, reason in enumerate(
        ("no JSON object", "tombstone", "no JSON", "empty")
    ):
        assert f"message {offset} of {topic_name}-impressions/2 ({reason}" in found
    found = (letters / "events.click.unparsable.jsonl").read_text()
    assert f"message {len(values['click'])} of {topic_name}-click/0" in found
    assert made.stream is not None
    assert made.stream.positions[f"{topic_name}-impressions/2"] == 4 + len(
        values["impressions"]
    )


@pytest.mark.slow
def test_a_broker_that_restarts_and_topics_that_grow(
    kafka_broker: RealKafka, topic_name: str, tmp_path: Path
) -> None:
    arriving = random_arrivals(10)
    topics = Topics(kafka_broker, topic_name, arriving)
    kafka_broker.make_topic(f"{topic_name}-out", OUT)
    job = kafka_job(
        tmp_path, kafka_broker.servers, topic_name, f"{topic_name}-out", max_records=60
    )
    day = 86_400_000
    topics.until(START + day)
    read_all(job)
    topics.until(START + 2 * day)
    kafka_broker.broker.kill()
    back = threading.Timer(1.0, kafka_broker.broker.start)
    back.start()
    try:
        read_all(job)
    finally:
        back.join()
    for log in LOGS:
        kafka_broker.grow(f"{topic_name}-{log}", IN + 2)
    kafka_broker.grow(f"{topic_name}-out", OUT + 1)
    topics.until(float("inf"), IN + 2)
    made = read_all(job)
    assert set(made[-1].stream.topics[f"{topic_name}-out"]) == set(range(OUT + 1))
    # All together it is what a batch job makes of all records.
    Feed(tmp_path, arriving).until(float("inf"))
    preprocess(stream_job(tmp_path, f"data.examples={tmp_path}/batch", *SPLIT))
    expected = Counter({r: n for (split, r), n in rows_of(tmp_path / "batch").items()})
    assert rows_in_sets(job) == expected
    assert rows_in_topic(kafka_broker, job) == expected
