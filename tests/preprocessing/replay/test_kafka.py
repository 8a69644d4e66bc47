"""Logs are played into topics."""

import json

import pytest
from confluent_kafka import Consumer, TopicPartition

from configs.errors import DataError, JobError
from preprocessing.replay.kafka import KafkaTarget
from preprocessing.replay.play import replay
from preprocessing.replay.settings import ReplaySettings
from tests.preprocessing.making_jobs import random_logs, small_job, write_logs

FAST = ReplaySettings(speed=None, interval=0.01)


def job_with_topics(tmp_path, servers: str, name: str):
    topics = {log: f"{name}-{log}" for log in ("impressions", "click", "conversion")}
    stream = {"kafka": {"servers": servers}, "join": {"topics": topics, "state": "s"}}
    return small_job(tmp_path, f"stream={json.dumps(stream)}")


@pytest.mark.slow
def test_topics_hold_every_record_once(tmp_path, kafka_broker, topic_name):
    logs = random_logs(seed=4)
    write_logs(tmp_path, logs)
    job = job_with_topics(tmp_path, kafka_broker.servers, topic_name)
    with pytest.raises(DataError, match="--partitions"):
        KafkaTarget(job)
    replay(job, KafkaTarget(job, make_partitions=3), FAST)
    for log, records in zip(job.stream.join.topics, logs, strict=True):
        partitions = kafka_broker.read(f"{topic_name}-{log}")
        assert len(partitions) == 3
        found = [[json.loads(v) for v in values] for values in partitions.values()]
        for values in found:
            assert values == sorted(values, key=lambda r: r["time"])
        assert sorted(str(r) for values in found for r in values) == sorted(
            map(str, records)
        )


def test_a_job_without_topics_is_refused(tmp_path):
    with pytest.raises(JobError, match=r"stream\.kafka\.servers"):
        KafkaTarget(small_job(tmp_path))


def test_times_before_kafkas_first_stay_the_earliest(tmp_path, mock_kafka, topic_name):
    """A time of 0 would be taken for none, and be that of the day."""
    job = job_with_topics(tmp_path, mock_kafka.servers, topic_name)
    for topic in job.stream.join.topics.values():
        mock_kafka.send(topic, {0: [b"{}"]}, times={0: [7]})
    target = KafkaTarget(job)
    lines = {log: [b"{}"] * 3 for log in job.stream.join.topics}
    target.write(lines, {log: [-5, 0, 2] for log in lines})
    target.close()
    options = {"bootstrap.servers": mock_kafka.servers, "group.id": "times"}
    consumer = Consumer(options)
    topic = f"{topic_name}-impressions"
    consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
    found = []
    while len(found) < 4:
        message = consumer.poll(10)
        assert message is not None and message.error() is None
        found.append(message.timestamp()[1])
    consumer.close()
    assert sorted(found) == [1, 1, 2, 7]
