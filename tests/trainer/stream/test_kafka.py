"""Training on a Kafka topic: what is learned, whatever else lies in the topic."""

import json
import threading
import time
from pathlib import Path

import pytest

from configs.errors import TrainingError
from tests.trainer.example_sets import random_rows, small_job, write_example_set
from tests.trainer.inputs.kafka_messages import examples, spread
from tests.trainer.stream.sets import WINDOWS, differing, everything, publish, windows
from trainer.stream.train import train_on_stream

POISON = [b"", b"\x00\xffgarbage", None, b"\x0a\x03abc", b"x" * 200_000]


def topic_job(folder: Path, cluster, topic: str, *overrides: str):
    """A job that reads a topic, and begins with the statistics of a set."""
    start = small_job(folder)
    if not Path(start.data.examples).exists():
        write_example_set(start, {"train": [random_rows(start, 150, seed=1)]})
    return small_job(
        folder,
        *WINDOWS,
        f"stream.kafka.servers={cluster.servers}",
        f"stream.examples_topic={topic}",
        f"stream.train.starts_with={start.data.examples}",
        *overrides,
    )


def learned(job):
    """All variables of the last checkpoint; and its state without the position."""
    found = everything(job)
    state = found.pop("state")
    assert state["stream"]["rows"]
    return found


@pytest.mark.slow
def test_a_topic_of_one_partition_is_learned_like_a_folder(
    mock_kafka, topic_name, tmp_path
):
    job = topic_job(tmp_path / "kafka", mock_kafka, topic_name)
    mock_kafka.send(topic_name, {0: examples(job, 100, seed=100)})
    train_on_stream(job, until_end=True)
    starts = f"stream.train.starts_with={job.data.examples}"
    folder = small_job(tmp_path / "folder", *WINDOWS, starts)
    publish(folder, 0, 100)
    train_on_stream(folder, until_end=True)
    assert not differing(learned(job), learned(folder))
    last = windows(job)[-1]
    assert last["position"][topic_name]["0"] == 100 and last["lag_rows"] == 0


@pytest.mark.slow
def test_poison_changes_nothing_that_is_learned(mock_kafka, topic_name, tmp_path):
    rows, folders = 1500, {}
    for name, count in (("clean", 0), ("rare", 2), ("often", 79)):
        job = topic_job(
            tmp_path / name,
            mock_kafka,
            f"{topic_name}-{name}",
            "stream.train.dead_letters.max_share=0.06",
        )
        values = spread(examples(job, rows, seed=3), 3)
        times = {p: list(range(p, rows, 3)) for p in values}
        for number in range(count):
            partition = number % 3
            place = 17 * number % len(values[partition])
            values[partition].insert(place, POISON[number % len(POISON)])
            times[partition].insert(place, times[partition][place])
        mock_kafka.send(f"{topic_name}-{name}", values, times=times)
        train_on_stream(job, until_end=True)
        folders[name] = learned(job)
        counters = windows(job)[-1]["counters"]
        assert sum(counters.values()) == count
        letters = Path(job.data.run, "dead_letters", "kafka.jsonl")
        kept = letters.read_text().splitlines() if count else []
        places = {(x["partition"], x["offset"]) for x in map(json.loads, kept)}
        assert len(places) == len(kept) == count
    assert not differing(folders["clean"], folders["rare"])
    assert not differing(folders["clean"], folders["often"])


@pytest.mark.slow
def test_poison_alone_ends_training_and_loses_nothing(mock_kafka, topic_name, tmp_path):
    job = topic_job(tmp_path, mock_kafka, topic_name)
    mock_kafka.send(topic_name, {0: examples(job, 80, seed=3)})
    train_on_stream(job, until_end=True)
    mock_kafka.send(topic_name, {0: [b"poison"] * 300})
    with pytest.raises(TrainingError, match="300 unreadable"):
        train_on_stream(job, until_end=True)
    assert everything(job)["state"]["stream"]["rows"] == 80


@pytest.mark.slow
def test_a_broker_that_crashes_meanwhile_changes_nothing_that_is_learned(
    kafka_broker, topic_name, tmp_path
):
    kafka_broker.make_topic(topic_name, 3)
    # So little is fetched ahead that the broker is needed to the end.
    little = "{fetch.message.max.bytes: 2000, queued.max.messages.kbytes: 4}"
    jobs = [
        topic_job(
            tmp_path / name,
            kafka_broker,
            topic_name,
            f"stream.kafka.options={little}",
        )
        for name in ("left alone", "disturbed")
    ]
    rows = 2400
    values = spread(examples(jobs[0], rows, seed=3), 3)
    times = {p: list(range(p + 1, rows + 1, 3)) for p in values}
    kafka_broker.send(topic_name, values, times=times)
    train_on_stream(jobs[0], until_end=True)

    def crash() -> None:
        while lines(jobs[1]) < 10:
            time.sleep(0.02)
        kafka_broker.broker.kill()
        seen.append(lines(jobs[1]))
        kafka_broker.broker.start()

    seen: list[int] = []
    crashing = threading.Thread(target=crash)
    crashing.start()
    train_on_stream(jobs[1], until_end=True)
    crashing.join()
    assert seen[0] < len(windows(jobs[0])) - 10
    assert not differing(everything(jobs[0]), everything(jobs[1]))


def lines(job) -> int:
    path = Path(job.data.run, "metrics.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0
