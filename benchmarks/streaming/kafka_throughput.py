"""Messages a second from a real broker to parsed batches and to trained steps, against
the same examples from files; what the broker uses is counted apart.

    python -m benchmarks.streaming.kafka_throughput SET JOB [--rows 500000]

SET is an example set of JOB (the demo's, say); its training rows are repeated until
there are enough. Rates are rows a second by the clock, and rows a second of processor
time of the reading process alone; `--train` measures `python -m trainer stream` too,
from its first window to its last, on the topic and on a folder of the same rows.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from confluent_kafka import Consumer, Producer, TopicPartition

from configs import load_job
from configs.job import Job
from configs.kafka import Kafka, consumer_options, producer_options
from configs.layout import layout_of
from configs.manifest import read_manifest
from configs.preprocess import DeadLetters
from scripts.kafka import Broker, make_topic
from trainer.inputs.dead_messages import DeadMessages
from trainer.inputs.files import ExampleFiles, Position
from trainer.inputs.kafka_reader import TopicReader
from trainer.inputs.kafka_source import KafkaSource, Windows
from trainer.inputs.screening import Screen

TOPIC = "examples"
PARTITIONS = 4
JAVA = ("-Xmx1g", "-XX:+UseSerialGC")


def main() -> None:
    """Fills a topic, reads it in several ways, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("job", type=Path)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--window", type=int, default=16_384)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    job = load_job(options.job, [f"data.examples={options.set}"])
    with tempfile.TemporaryDirectory() as folder:
        with Broker(Path(folder, "broker"), JAVA) as broker:
            results = measure(job, broker, Path(folder), options)
    for name, values in results.items():
        print(f"{name:28} {values}")
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")


def measure(
    job: Job, broker: Broker, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Returns the rates of each way to read."""
    rows = read_manifest(options.set).splits["train"].rows
    times = -(-options.rows // rows)
    values = serialized(options.set, times)
    make_topic(broker.servers, TOPIC, PARTITIONS)
    kafka = Kafka(servers=broker.servers)
    before = broker.cpu_seconds()
    fill(kafka, values)
    results: dict[str, Any] = {
        "rows": len(values),
        "bytes_per_row": sum(map(len, values)) / len(values),
        "broker_writing": rate(len(values), broker.cpu_seconds() - before),
    }
    ways: dict[str, Callable[[], Iterator[tf.Tensor | list[bytes]]]] = {
        "consumed": lambda: consumed(kafka),
        "topic, parsed": lambda: windows(
            kafka, job, folder, options.window, options.batch
        ),
    }
    for name, way in ways.items():
        results[name] = timed(way, len(values), options.repeats, broker)
    results["files, parsed"] = timed(
        lambda: from_files(job, options.batch, times),
        len(values),
        options.repeats,
        None,
    )
    if options.train:
        before = broker.cpu_seconds()
        topic = [f"stream.kafka.servers={broker.servers}"]
        topic += [f"stream.examples_topic={TOPIC}"]
        results["topic, trained"] = trained(folder / "topic", topic, options)
        used = broker.cpu_seconds() - before
        results["topic, trained"] |= rate(len(values), used)
        sets = folder / "sets"
        sets.mkdir()
        for number in range(times):
            (sets / f"{number:08d}").symlink_to(options.set.resolve())
        results["folder, trained"] = trained(
            folder / "folder", [f"data.examples={sets}"], options
        )
    return results


def trained(
    run: Path, overrides: list[str], options: argparse.Namespace
) -> dict[str, float]:
    """Trains on a stream to its end; returns rates behind the first window."""
    settings = [
        *overrides,
        f"data.run={run}",
        f"stream.train.starts_with={options.set}",
        f"stream.train.window_rows={options.window}",
    ]
    command = [sys.executable, "-m", "trainer", "stream", str(options.job)]
    command += ["--until-end", *(w for s in settings for w in ("--set", s))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
    windows = [line for line in lines if line["kind"] == "window"]
    # When a line was written: its freshness counts from its last event.
    clock = [w["freshness_s"] + w["last_time"] / 1_000 for w in windows]
    rows = sum(window["rows"] for window in windows[1:])
    return {"rows_per_second": round(rows / (clock[-1] - clock[0])), "rows": rows}


def serialized(folder: Path, times: int) -> list[bytes]:
    """Returns the serialized examples of the training split, so many times."""
    shards = read_manifest(folder).splits["train"].shards
    paths = [str(folder / shard.path) for shard in shards]
    zipped = "GZIP" if paths[0].endswith(".gz") else ""
    records = tf.data.TFRecordDataset(paths, zipped)
    return list(records.as_numpy_iterator()) * times


def fill(kafka: Kafka, values: list[bytes]) -> None:
    """Writes the values, their times counting up, to the partitions in turn."""
    producer = Producer(
        producer_options(kafka, None)
        | {"linger.ms": "20", "queue.buffering.max.messages": "200000"}
    )
    for number, value in enumerate(values):
        while True:
            try:
                producer.produce(
                    TOPIC, value, partition=number % PARTITIONS, timestamp=number + 1
                )
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)


def consumed(kafka: Kafka) -> Iterator[list[bytes]]:
    """What the client library gives, and nothing more."""
    consumer = Consumer(consumer_options(kafka, "rate"))
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(PARTITIONS)])
    ended = 0
    while ended < PARTITIONS:
        messages = consumer.consume(4096, timeout=0.1)
        ended += sum(message.error() is not None for message in messages)
        yield [message.value() for message in messages if message.error() is None]
    consumer.close()


def windows(
    kafka: Kafka, job: Job, folder: Path, rows: int, batch: int
) -> Iterator[tf.Tensor]:
    """The windows of the exact engine: merged, parsed, checked."""
    reader = TopicReader(kafka, TOPIC, group="rate", away=60)
    source = KafkaSource(
        reader,
        TOPIC,
        Windows(rows=rows, wait=60, until_end=True),
        Screen(layout_of(job), batch_size=batch),
        DeadMessages(folder / "dead.jsonl", DeadLetters()),
    )
    with source:
        source.open({})
        while (window := source.next_window(60)) is not None:
            yield window.serialized


def from_files(job: Job, batch: int, times: int) -> Iterator[tf.Tensor]:
    """The batches of the set's own files, parsed, in the order of the manifest."""
    files = ExampleFiles(job.data.examples, "train", job, batch_size=batch)
    for epoch in range(times):
        for (part,) in files.batches(Position(epoch=epoch)):
            yield part["labels"]


def timed(
    way: Callable[[], Iterator[Any]],
    rows: int | None,
    repeats: int,
    broker: Broker | None,
) -> dict[str, Any]:
    """Runs a way several times, once more before to warm up."""
    clock, own, brokers = [], [], []
    for _ in range(repeats + 1):
        cpu, wall = _cpu(), time.monotonic()
        before = broker.cpu_seconds() if broker else 0.0
        read = sum(len(part) for part in way())
        if rows is not None and read != rows:
            raise RuntimeError(f"{read} rows came, {rows} were written")
        clock.append(read / (time.monotonic() - wall))
        own.append(read / (_cpu() - cpu))
        if broker:
            brokers.append((broker.cpu_seconds() - before) / read * 1e6)
    found = {
        "rows_per_second": round(statistics.median(clock[1:])),
        "of": [round(min(clock[1:])), round(max(clock[1:]))],
        "rows_per_own_cpu_second": round(statistics.median(own[1:])),
    }
    if brokers:
        found["broker_cpu_us_per_row"] = round(statistics.median(brokers[1:]), 2)
    return found


def rate(rows: int, seconds: float) -> dict[str, float]:
    """Returns processor time for each row."""
    return {"broker_cpu_us_per_row": round(seconds / rows * 1e6, 2)}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
