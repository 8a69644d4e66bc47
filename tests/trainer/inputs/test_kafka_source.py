"""Windows from Kafka: each message once, in an order that can be made again."""

import itertools
import json
import time

import pytest

from configs.errors import DataError, TrainingError
from configs.kafka import Kafka
from configs.preprocess import DeadLetters
from tests.trainer.example_sets import small_job
from tests.trainer.inputs.kafka_messages import (
    drain,
    examples,
    ids_of,
    open_source,
    spread,
)
from trainer.inputs.kafka_reader import TopicReader

POISON = [b"", b"\x00\xffgarbage", b"\x0a\x03abc", None]


@pytest.fixture
def job(tmp_path):
    return small_job(tmp_path)


def sent(cluster, topic, job, rows=100, partitions=4, seed=1):
    """Sends examples whose times count up over the partitions in turn."""
    values = spread(examples(job, rows, seed), partitions)
    first = 1000 * seed
    times = {
        p: [first + p + partitions * k for k in range(len(values[p]))] for p in values
    }
    cluster.send(topic, values, times=times)
    return list(range(first, first + rows))


def test_partitions_come_merged_by_time_each_row_once(
    mock_kafka, topic_name, job, tmp_path
):
    expected = sent(mock_kafka, topic_name, job)
    with open_source(mock_kafka, topic_name, job, tmp_path) as source:
        windows = drain(source)
        assert source.status().lag_rows == 0
    assert ids_of(job, windows) == expected
    assert [w.rows for w in windows] == [16] * 6 + [4]
    assert windows[0].start == {}
    for before, window in itertools.pairwise(windows):
        assert window.start == before.position
    assert windows[-1].position == {topic_name: dict.fromkeys("0123", 25)}


def test_every_position_can_be_gone_on_from(mock_kafka, topic_name, job, tmp_path):
    expected = sent(mock_kafka, topic_name, job, rows=40)
    with open_source(mock_kafka, topic_name, job, tmp_path, rows=9) as source:
        windows = drain(source)
    for number, window in enumerate(windows):
        position = json.loads(json.dumps(window.position))
        with open_source(
            mock_kafka, topic_name, job, tmp_path, rows=9, position=position
        ) as source:
            rest = drain(source)
        assert ids_of(job, rest) == expected[9 * (number + 1) :]


def test_a_window_that_was_read_before_is_made_again_from_its_end(
    mock_kafka, topic_name, job, tmp_path
):
    sent(mock_kafka, topic_name, job, rows=30)
    live = {"rows": 100, "wait": 0.0, "until_end": False}
    with open_source(mock_kafka, topic_name, job, tmp_path, **live) as source:
        first = source.next_window(20)
        sent(mock_kafka, topic_name, job, rows=50, seed=2)
        second = source.next_window(20)
    # The clock closed them; the reader of today would not.
    with open_source(mock_kafka, topic_name, job, tmp_path, rows=1000) as source:
        again = [source.next_window(20, w.position) for w in (first, second)]
    for window, made in zip((first, second), again, strict=True):
        assert made.serialized.numpy().tolist() == window.serialized.numpy().tolist()
        assert (made.start, made.position) == (window.start, window.position)


def test_a_window_that_does_not_fill_is_closed_by_the_clock(
    mock_kafka, topic_name, job, tmp_path
):
    expected = sent(mock_kafka, topic_name, job, rows=6)
    live = {"rows": 100, "wait": 0.5, "until_end": False}
    with open_source(mock_kafka, topic_name, job, tmp_path, **live) as source:
        started = time.monotonic()
        assert source.next_window(0.1) is None
        window = source.next_window(20)
        assert time.monotonic() - started > 0.5
        assert ids_of(job, [window]) == expected
        assert source.next_window(0.3) is None


def test_a_partition_that_is_far_ahead_waits_for_the_others(
    mock_kafka, topic_name, job, tmp_path, monkeypatch
):
    monkeypatch.setattr("trainer.inputs.kafka_source._LEAST_BUFFER", 8)
    monkeypatch.setattr("trainer.inputs.kafka_source._READ_AT_ONCE", 16)
    rows = examples(job, 400)
    late, early = list(range(1000, 1200)), list(range(1, 201))
    times = {0: late[:199], 1: early, 2: [5000], 3: [1]}
    values = {0: rows[200:399], 1: rows[:200], 2: rows[399:], 3: [b"poison"]}
    mock_kafka.send(topic_name, values, times=times)
    limits = DeadLetters(max_share=0.9)
    with open_source(mock_kafka, topic_name, job, tmp_path, limits=limits) as source:
        windows, most = [], 0
        while not source.ended:
            window = source.next_window(20)
            windows += [] if window is None else [window]
            most = max(most, len(source._buffers[0]))
    assert ids_of(job, windows) == list(range(1000, 1400))
    assert most < 100


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5])
def test_poison_is_put_aside_and_changes_no_window(
    mock_kafka, topic_name, job, tmp_path, share
):
    rows = examples(job, 60)
    clean, mixed = spread(rows, 2), {}
    wanted = max(1, round(share * len(rows)))
    poison = [POISON[k % len(POISON)] for k in range(wanted)]
    for partition, values in clean.items():
        mixed[partition] = list(values)
        for place, value in enumerate(poison[partition::2]):
            mixed[partition].insert(7 * place % len(mixed[partition]), value)
    limits = DeadLetters(max_share=0.9)
    both = []
    for name, values in (("clean", clean), ("mixed", mixed)):
        topic = f"{topic_name}-{name}"
        stamps = {p: [5] * len(v) for p, v in values.items()}
        mock_kafka.send(topic, values, times=stamps)
        folder = tmp_path / name
        with open_source(mock_kafka, topic, job, folder, limits=limits) as source:
            both.append(drain(source))
    left, right = both
    assert [w.serialized.numpy().tolist() for w in left] == (
        [w.serialized.numpy().tolist() for w in right]
    )
    lines = (tmp_path / "mixed" / "dead.jsonl").read_text().splitlines()
    letters = [json.loads(line) for line in lines]
    assert len(letters) == wanted == sum(sum(w.counters.values()) for w in right)
    for letter in letters:
        found = mixed[letter["partition"]][letter["offset"]]
        assert found in POISON and letter["bytes"] == len(found or b"")
    assert not (tmp_path / "clean" / "dead.jsonl").exists()


def test_dead_messages_are_kept_once_and_bounded(mock_kafka, topic_name, job, tmp_path):
    values = spread([b"\xff", *examples(job, 20), b"\xff", b"\xff"], 1)
    mock_kafka.send(topic_name, values)
    limits = DeadLetters(max_share=0.9, max_kept=2)
    for _ in range(2):
        with open_source(
            mock_kafka, topic_name, job, tmp_path, limits=limits
        ) as source:
            windows = drain(source)
    assert sum((w.rows for w in windows), 0) == 20
    assert sum(w.counters.get("dead_letters.unreadable", 0) for w in windows) == 3
    assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 2


def test_too_much_poison_ends_training(mock_kafka, topic_name, job, tmp_path):
    mock_kafka.send(topic_name, {0: [b"nothing"] * 150})
    with open_source(mock_kafka, topic_name, job, tmp_path) as source:
        with pytest.raises(TrainingError, match=r"150 unreadable.*max_share"):
            drain(source)


def test_another_topic_or_an_end_behind_the_topic_is_refused(
    mock_kafka, topic_name, job, tmp_path
):
    sent(mock_kafka, topic_name, job, rows=8)
    where = (mock_kafka, topic_name, job, tmp_path)
    with pytest.raises(DataError, match="name that topic"):
        open_source(*where, position={"another": {"0": 1}})
    with pytest.raises(DataError, match=r"ends at 2.*up to 9"):
        open_source(*where, position={topic_name: {"0": 9}})
    with pytest.raises(DataError, match="no partition 7"):
        open_source(*where, position={topic_name: {"7": 0}})
    with open_source(*where, rows=100) as source:
        with pytest.raises(DataError, match="cut or made anew"):
            source.next_window(20, {topic_name: {"0": 5}})


def test_a_broker_that_is_not_there_is_told():
    kafka = Kafka(servers="127.0.0.1:1")
    reader = TopicReader(kafka, "examples", group="g", away=0.5)
    with pytest.raises(TrainingError, match=r"no answer from 127.0.0.1:1"):
        reader.connect()
    reader.close()
