"""The examples of a micro-batch reach their topic once, whatever happens."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from configs.errors import DataError
from configs.job import Job
from configs.manifest import ExampleSplit, Shard
from preprocessing.stream.kafka_output import KafkaOutput, open_kafka_output
from tests.preprocessing.making_jobs import small_job

STEPS = ("open", "begin", "sending", "flush", "offsets", "commit", "committed")
ROWS = 40


def job_into(root: Path, servers: str, topic: str, **join: object) -> Job:
    """Returns the small job with a topic for its examples."""
    stream = {
        "kafka": {"servers": servers},
        "join": {"state": str(root / "state"), **join},
        "examples_topic": topic,
    }
    return small_job(root, f"name={topic}", f"stream={json.dumps(stream)}")


class Rows(KafkaOutput):
    """Sends made-up rows in place of the examples in shards, which take TensorFlow."""

    def _rows(self, shards) -> Iterator[tuple[int, int, int, bytes]]:
        (folder,) = {int(Path(shard).parent.name) for shard in shards} or {None}
        if folder is not None:
            yield from rows_of(folder)


def rows_of(batch: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Rows of requests of three."""
    for number in range(ROWS):
        event = batch * 1_000 + number
        yield event, event // 3, event + 7, f"{batch}:{number}".encode()


def send(output: KafkaOutput, batch: int, *, rows: int = ROWS):
    shards = [Shard(path="x.tfrecord", rows=rows, bytes=1, sha256="")] if rows else []
    split = ExampleSplit(
        rows=rows, positives={}, first_time=0, last_time=0, sampled=False, shards=shards
    )
    return output.send(batch, Path(str(batch)), {"train": split})


def expected(batches, partitions: int) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {number: [] for number in range(partitions)}
    for batch in batches:
        for _, request, _, value in rows_of(batch):
            found[request % partitions].append(value)
    return found


KILLED = """
import json, os, signal, sys
from pathlib import Path
from tests.preprocessing.stream.test_kafka_output import STEPS, Rows, job_into, send

job = job_into(Path(sys.argv[1]), *sys.argv[2:])


def forked(work):
    # Everything is imported, and nothing of Kafka is open here.
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    work()
    os._exit(0)


for batch, step in enumerate(STEPS):

    def killed():
        def watch(reached):
            if reached == step:
                os.kill(os.getpid(), signal.SIGKILL)

        send(Rows(job, watch), batch)

    def again():
        output = Rows(job)
        (positions,) = send(output, batch).values()
        assert send(output, batch) == {sys.argv[3]: positions}
        print(json.dumps([positions[number] for number in range(3)]), flush=True)

    assert forked(killed) == -signal.SIGKILL, step
    assert forked(again) == 0, step
"""


def test_jobs_without_a_topic_have_no_output(tmp_path):
    assert open_kafka_output(small_job(tmp_path)) is None


@pytest.mark.slow
class TestBroker:
    """Transactions are those of a real broker."""

    def test_batches_follow_each_other(self, kafka_broker, topic_name, tmp_path):
        kafka_broker.make_topic(topic_name, 3)
        output = Rows(job_into(tmp_path, kafka_broker.servers, topic_name))
        first = send(output, 0)
        assert send(output, 0) == first  # made again: nothing is sent
        empty = send(output, 1, rows=0)
        assert empty == first
        last = send(output, 2)
        assert kafka_broker.read(topic_name) == expected([0, 2], 3)
        # Where a micro-batch ends, the next one begins.
        for number, values in expected([2], 3).items():
            assert read_from(kafka_broker, topic_name, number, first) == values
            assert read_from(kafka_broker, topic_name, number, last) == []

    def test_messages_have_key_and_time(self, kafka_broker, topic_name, tmp_path):
        kafka_broker.make_topic(topic_name, 3)
        send(Rows(job_into(tmp_path, kafka_broker.servers, topic_name)), 5)
        consumer = reader(kafka_broker.servers)
        consumer.assign([TopicPartition(topic_name, n, 0) for n in range(3)])
        messages = []
        while len(messages) < ROWS:
            message = consumer.poll(10)
            messages += [message] if message.error() is None else []
        found = {
            (int.from_bytes(m.key(), "big"), m.timestamp()[1], m.value())
            for m in messages
        }
        assert found == {(event, at, value) for event, _, at, value in rows_of(5)}
        consumer.close()

    def test_a_join_killed_between_any_steps_sends_once(
        self, kafka_broker, topic_name, tmp_path
    ):
        kafka_broker.make_topic(topic_name, 3)
        place = (str(tmp_path), kafka_broker.servers, topic_name)
        ended = subprocess.run(
            [sys.executable, "-c", KILLED, *place],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        batches = range(len(STEPS))
        assert kafka_broker.read(topic_name) == expected(batches, 3)
        # Where each ended is where the next one began.
        for batch, line in enumerate(ended.stdout.splitlines()):
            positions = {topic_name: dict(enumerate(json.loads(line)))}
            for number, values in expected(batches[batch + 1 :], 3).items():
                found = read_from(kafka_broker, topic_name, number, positions)
                assert found == values, STEPS[batch]

    def test_a_state_that_does_not_fit_the_topic_is_refused(
        self, kafka_broker, topic_name, tmp_path
    ):
        kafka_broker.make_topic(topic_name, 1)
        job = job_into(tmp_path, kafka_broker.servers, topic_name)
        send(Rows(job), 4)
        with pytest.raises(DataError, match="older than the topic"):
            send(Rows(job), 3)
        with pytest.raises(DataError, match="up to micro-batch 4, and this is 6"):
            send(Rows(job), 6)
        assert kafka_broker.read(topic_name) == expected([4], 1)

    def test_a_forgetful_broker(self, kafka_broker, topic_name, tmp_path):
        kafka_broker.make_topic(topic_name, 2)
        job = job_into(tmp_path, kafka_broker.servers, topic_name)
        noted = send(Rows(job), 0)
        write_manifest(job, 0, noted)
        forget(kafka_broker.servers, f"pairstream-join-{topic_name}")
        # Nothing lies behind micro-batch 0, so 1 was not sent.
        send(Rows(job), 1)
        assert kafka_broker.read(topic_name) == expected([0, 1], 2)
        forget(kafka_broker.servers, f"pairstream-join-{topic_name}")
        with pytest.raises(DataError, match="has forgotten"):
            send(Rows(job), 1)

    def test_partitions_may_be_added(self, kafka_broker, topic_name, tmp_path):
        kafka_broker.make_topic(topic_name, 2)
        output = Rows(job_into(tmp_path, kafka_broker.servers, topic_name))
        send(output, 0)
        kafka_broker.grow(topic_name, 4)
        positions = send(Rows(job_into(tmp_path, kafka_broker.servers, topic_name)), 1)
        found = kafka_broker.read(topic_name)
        both = [expected([0], 2), expected([1], 4)]
        assert found == {n: both[0].get(n, []) + both[1][n] for n in range(4)}
        assert set(positions[topic_name]) == {0, 1, 2, 3}

    def test_a_second_writer_ends_the_first(self, kafka_broker, topic_name, tmp_path):
        kafka_broker.make_topic(topic_name, 1)
        job = job_into(tmp_path, kafka_broker.servers, topic_name)
        first = Rows(job)
        send(first, 0)
        send(Rows(job), 1)
        with pytest.raises(DataError, match="another join"):
            send(first, 2)
        assert kafka_broker.read(topic_name) == expected([0, 1], 1)

    def test_an_example_that_is_too_large_is_named(
        self, kafka_broker, topic_name, tmp_path
    ):
        kafka_broker.make_topic(topic_name, 1, {"max.message.bytes": "2000"})
        job = job_into(tmp_path, kafka_broker.servers, topic_name)

        class Large(KafkaOutput):
            def _rows(self, shards):
                yield 1, 1, 1, os.urandom(5_000)

        with pytest.raises(DataError, match="does not take the examples"):
            send(Large(job), 0)
        send(Rows(job), 0)
        assert kafka_broker.read(topic_name) == expected([0], 1)

    @pytest.mark.parametrize("step", ["commit"])
    def test_a_broker_that_dies_and_comes_back(
        self, kafka_broker, topic_name, tmp_path, step, monkeypatch
    ):
        monkeypatch.setattr("preprocessing.stream.patience._CALL_SECONDS", 2.0)
        kafka_broker.make_topic(topic_name, 2)
        job = job_into(tmp_path, kafka_broker.servers, topic_name)
        backs = []

        def watch(reached: str) -> None:
            if reached == step and not backs:
                kafka_broker.broker.kill()
                backs.append(threading.Timer(1.0, kafka_broker.broker.start))
                backs[0].start()

        output = Rows(job, watch)
        try:
            send(output, 0)
        finally:
            backs[0].join()
        send(output, 1)
        assert kafka_broker.read(topic_name) == expected([0, 1], 2)


def test_examples_are_read_with_event_and_time(tmp_path):
    import tensorflow as tf

    from preprocessing.stream.keyed_examples import keyed_examples
    from preprocessing.tfrecord import write_records

    def example(event: int) -> bytes:
        def ints(*values: int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

        features = {"ids": ints(event, 5), "event_time": ints(event * 3)}
        return tf.train.Example(
            features=tf.train.Features(feature=features)
        ).SerializeToString()

    events = [2**62, 3, 2**63 - 2]
    examples = [example(event % 2**61) for event in events]
    write_records(tmp_path, "a.tfrecord", [pa.array(examples)], compress=False)
    found = list(keyed_examples(tmp_path / "a.tfrecord", 2, 1))
    assert found == [
        (event % 2**61, 5, event % 2**61 * 3, value)
        for event, value in zip(events, examples, strict=True)
    ]


def reader(servers: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )


def read_from(broker, topic: str, number: int, positions) -> list[bytes]:
    consumer = reader(broker.servers)
    consumer.assign([TopicPartition(topic, number, positions[topic][number])])
    values: list[bytes] = []
    while True:
        message = consumer.poll(10)
        assert message is not None
        if message.error() is not None:
            assert message.error().name() == "_PARTITION_EOF"
            consumer.close()
            return values
        values.append(message.value())


def forget(servers: str, group: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    for asked in admin.delete_consumer_groups([group]).values():
        asked.result(30)
    named = ConsumerGroupTopicPartitions(group)
    assert (
        admin.list_consumer_group_offsets([named])[group].result(30).topic_partitions
        == []
    )


def write_manifest(job: Job, batch: int, topics) -> None:
    from configs.manifest import Manifest, StreamBatch
    from configs.stream_sets import set_name

    folder = Path(job.data.examples) / set_name(batch)
    folder.mkdir(parents=True)
    manifest = Manifest(
        job=job.name,
        fingerprint="",
        contract={},
        splits={},
        counters={},
        dead_letters={},
        stream=StreamBatch(batch=batch, topics=topics),
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
