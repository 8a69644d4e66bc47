"""The join with Kafka in and out: killed, its broker stopped, its topics growing."""

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from configs import Job
from configs.manifest import read_manifest
from configs.stream_sets import stream_sets
from preprocessing.run import preprocess
from preprocessing.tfrecord import read_records
from tests.kafka_cluster import RealKafka
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


def kafka_job(
    root: Path, servers: str, logs: str, examples: str, **join: object
) -> Job:
    """The job of the streams' tests over topics, with everything in `root`."""
    return stream_job(
        root,
        f"name={examples}",
        f"stream.kafka={json.dumps({'servers': servers})}",
        f"stream.examples_topic={examples}",
        "preprocessing.split={by: hash, validation: 0.0, test: 0.0}",
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
import os, signal, sys, threading
from pathlib import Path
from tests.preprocessing.stream.making_streams import read_all
from tests.preprocessing.stream.test_kafka_join import kafka_job
import preprocessing.stream.keyed_examples, preprocessing.stream.kafka_output
root, servers, logs, examples, seconds = sys.argv[1:]
job = kafka_job(Path(root), servers, logs, examples, max_records=40)
kill = threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL))
kill.daemon = True
kill.start()
print(len(read_all(job)), flush=True)
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
    sets = len(read_all(whole))
    assert sets > 10
    chance = np.random.default_rng(9)
    kills = 0
    while kills < 6:
        ended = subprocess.run(
            [
                *(sys.executable, "-c", PROGRAM, str(tmp_path / "killed")),
                *(kafka_broker.servers, topic_name, f"{topic_name}-killed"),
                str(chance.uniform(0.1, 2.5)),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        kills += 1
    assert kills >= 3
    read_all(job)
    assert training_bytes(job) == training_bytes(whole)
    topics_read = [
        kafka_broker.read(f"{topic_name}-{name}") for name in ("whole", "killed")
    ]
    assert topics_read[0] == topics_read[1]
    assert rows_in_topic(kafka_broker, job) == rows_in_sets(job)


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


SPLIT = ("preprocessing.split={by: hash, validation: 0.0, test: 0.0}",)
