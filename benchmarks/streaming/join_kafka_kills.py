"""Kills the streaming join between Kafka topics, and now and then the broker.

    python -m benchmarks.streaming.join_kafka_kills --kills 50

joins synthetic logs from topics into a topic once without a disturbance, and once in
processes that are killed with SIGKILL at random moments, the broker with each tenth of
them; then compares the examples of all sets, and what a reader of committed messages
finds in the topics, byte for byte. Needs Java 17, as `scripts/kafka.py` does.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from benchmarks.streaming.join_kills import _make_logs, _start, _wait
from configs import Job, load_job
from configs.manifest import read_manifest
from configs.stream_sets import stream_sets

# As in join_kills: children are forked, so nothing of Kafka is opened in this process
# before the last of them has ended.
JOB = Path(__file__).parent.parent / "preprocessing" / "job.yaml"
LOGS = {"impressions": "imps", "click": "clicks", "conversion": "conversions"}
BROKER_EVERY = 10


def main() -> int:
    """Runs the proof; returns 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--impressions", type=int, default=4_000)
    parser.add_argument("--records", type=int, default=250, help="of a micro-batch")
    parser.add_argument("--folder", default="build/join-kafka-kills")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(arguments.folder).resolve()
    _make_logs(folder, arguments.impressions)
    broker = _Broker(folder / "kafka")
    broker.start("alone:3", "killed:3")
    try:
        return _prove(folder, broker, arguments)
    finally:
        broker.stop()


def _prove(folder: Path, broker: "_Broker", arguments: argparse.Namespace) -> int:
    alone, killed = (
        _job(folder, broker.servers, name, arguments.records)
        for name in ("alone", "killed")
    )
    _fill(folder, broker.servers, arguments.records)
    began = time.monotonic()
    _wait(_start(alone))
    seconds = time.monotonic() - began
    sets = len(stream_sets(alone.data.examples))
    print(f"without a disturbance: {sets} sets, {seconds:.1f} s", flush=True)
    chance = random.Random(arguments.seed)  # noqa: S311 (moments, no secrets)
    longest = 2.5 * seconds / sets
    batches = _killed(killed, broker, arguments.kills, chance, longest)
    print(
        f"killed {batches.total()} times, and the broker"
        f" {batches.total() // BROKER_EVERY} times, while making {len(batches)} of the"
        f" {sets} micro-batches (most often {max(batches.values())} times the same)"
    )
    return _compare(alone, killed, broker.servers)


def _compare(alone: Job, killed: Job, servers: str) -> int:
    shards = [_shards(job) for job in (alone, killed)]
    read = [_read(servers, job.name) for job in (alone, killed)]
    rows = Counter(value for values in read[1].values() for _, value in values)
    expected = _rows(killed)
    same = shards[0] == shards[1], read[0] == read[1], rows == expected
    print(
        f"sets {'equal' if same[0] else 'DIFFERENT'} byte for byte"
        f" ({sum(map(len, shards[1].values()))} files of examples);"
        f" topics {'equal' if same[1] else 'DIFFERENT'}, partition by partition"
        f" ({rows.total():,} messages, {sum(n > 1 for n in rows.values())} twice);"
        f" topic and sets hold {'the same' if same[2] else 'DIFFERENT'} examples"
    )
    return 0 if all(same) else 1


class _Broker:
    """The project's broker in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    @property
    def servers(self) -> str:
        return (self._folder / "servers").read_text().strip()

    def start(self, *topics: str) -> None:
        made = ["--topics", *topics] if topics else []
        self._run("start", *made)

    def stop(self) -> None:
        self._run("stop")

    def kill(self) -> None:
        os.kill(int((self._folder / "pid").read_text()), signal.SIGKILL)

    def _run(self, command: str, *options: str) -> None:
        script = ["scripts/kafka.py", command, "--folder", str(self._folder)]
        subprocess.run([sys.executable, *script, *options], check=True)


def _job(folder: Path, servers: str, name: str, records: int) -> Job:
    join = {
        "topics": LOGS,
        "state": str(folder / name / "state"),
        "max_records": records,
        "lateness": "1h",
        "future": "36500d",
    }
    shutil.rmtree(folder / name, ignore_errors=True)
    return load_job(
        JOB,
        [
            f"name={name}",
            f"data.impressions.path={folder}/logs/impressions-*.jsonl",
            f"data.events.click.path={folder}/logs/clicks-*.jsonl",
            f"data.events.conversion.path={folder}/logs/conversions-*.jsonl",
            f"data.examples={folder}/{name}/examples",
            "preprocessing.split={by: hash, validation: 0.0, test: 0.0}",
            "preprocessing.dead_letters.max_share=0.5",
            f"stream.kafka={json.dumps({'servers': servers})}",
            f"stream.examples_topic={name}",
            f"stream.join={json.dumps(join)}",
        ],
    )


def _fill(folder: Path, servers: str, records: int) -> None:
    pid = os.fork()
    if pid == 0:
        from preprocessing.replay.kafka import KafkaTarget
        from preprocessing.replay.play import replay
        from preprocessing.replay.settings import ReplaySettings

        job = _job(folder, servers, "logs-to-topics", records)
        target = KafkaTarget(job, make_partitions=2)
        replay(job, target, ReplaySettings(speed=None))
        os._exit(0)
    _wait(pid)


def _killed(
    job: Job, broker: _Broker, kills: int, chance: random.Random, longest: float
) -> Counter[int]:
    """Kills children until there were enough or all is read, then lets one end; returns
    how often each micro-batch was being made."""
    batches: Counter[int] = Counter()
    intent = Path(job.data.examples).parent / "state" / "intent.json"
    while batches.total() < kills:
        pid = _start(job)
        time.sleep(chance.uniform(0.0, longest))
        away = batches.total() % BROKER_EVERY == BROKER_EVERY - 1
        if away:
            broker.kill()
            time.sleep(chance.uniform(0.0, 1.0))
        os.kill(pid, signal.SIGKILL)
        was_killed = _wait(pid)
        if away:
            broker.start()
        if not was_killed:
            break
        batch = json.loads(intent.read_bytes())["batch"] if intent.exists() else -1
        batches[batch] += 1
    _wait(_start(job))
    return batches


def _shards(job: Job) -> dict[str, list[bytes]]:
    return {
        path.name: [
            (path / shard.path).read_bytes()
            for shard in read_manifest(path).splits["train"].shards
        ]
        for path in stream_sets(job.data.examples).values()
    }


def _rows(job: Job) -> Counter[bytes]:
    from preprocessing.tfrecord import read_records

    return Counter(
        record
        for path in stream_sets(job.data.examples).values()
        for shard in read_manifest(path).splits["train"].shards
        for record in read_records(path / shard.path)
    )


def _read(servers: str, topic: str) -> dict[int, list[tuple[bytes, bytes]]]:
    """Returns keys and values of all committed messages, by partition, in order."""
    from confluent_kafka import Consumer, TopicPartition

    from configs.kafka import Kafka, consumer_options

    consumer = Consumer(consumer_options(Kafka(servers=servers), "proof"))
    left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    found: dict[int, list[tuple[bytes, bytes]]] = {number: [] for number in left}
    consumer.assign([TopicPartition(topic, number, 0) for number in left])
    while left:
        for message in consumer.consume(1_000, timeout=0.5):
            if message.error() is None:
                found[message.partition()].append((message.key(), message.value()))
            else:
                left.discard(message.partition())
    consumer.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
