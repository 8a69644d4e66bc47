"""The source against a real broker: transactions, retention, growth, absence."""

import pytest
from confluent_kafka import Producer

from configs.errors import DataError, TrainingError
from configs.kafka import producer_options
from tests.trainer.example_sets import small_job
from tests.trainer.inputs.kafka_messages import (
    drain,
    examples,
    ids_of,
    open_source,
    spread,
)
from trainer.inputs.stream_source import WindowGone
from trainer.inputs.topic_identity import check_topic

pytestmark = pytest.mark.slow


@pytest.fixture
def job(tmp_path):
    return small_job(tmp_path)


def filled(kafka, topic, job, *, partitions=3, rows=60):
    """Makes a topic of examples whose times count up; returns their ids in order."""
    kafka.make_topic(topic, partitions)
    add(kafka, topic, job, partitions=partitions, rows=rows)
    return list(range(1000, 1000 + rows))


def add(kafka, topic, job, *, partitions, rows, seed=1):
    values = spread(examples(job, rows, seed), partitions)
    times = {
        p: [1000 * seed + p + partitions * k for k in range(len(values[p]))]
        for p in values
    }
    kafka.send(topic, values, times=times)


def in_transaction(kafka, topic, values, *, commit):
    """Writes one transaction to partition 0."""
    name = f"writer-of-{topic}"
    producer = Producer(producer_options(kafka.section, name))
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value=value, partition=0, timestamp=1)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


def test_what_a_transaction_took_back_is_never_read(
    kafka_broker, topic_name, job, tmp_path
):
    kafka_broker.make_topic(topic_name, 1)
    rows = examples(job, 30)
    for part, commit in ((rows[:10], True), (rows[10:20], False), (rows[20:], True)):
        in_transaction(kafka_broker, topic_name, part, commit=commit)
    with open_source(kafka_broker, topic_name, job, tmp_path, rows=8) as source:
        windows = drain(source)
    assert ids_of(job, windows) == [*range(1000, 1010), *range(1020, 1030)]
    # The offsets of marks lie behind the position, or the lag would never be 0.
    assert windows[-1].position == {topic_name: {"0": 33}}
    for number, window in enumerate(windows[:-1]):
        with open_source(
            kafka_broker, topic_name, job, tmp_path, rows=8, position=window.position
        ) as source:
            rest = drain(source)
        assert ids_of(job, rest) == ids_of(job, windows[number + 1 :])


def test_dropped_messages_are_an_error_or_counted(
    kafka_broker, topic_name, job, tmp_path
):
    filled(kafka_broker, topic_name, job, rows=60)
    with open_source(kafka_broker, topic_name, job, tmp_path) as source:
        first, second = source.next_window(20), source.next_window(20)
    kafka_broker.drop_before(topic_name, {1: 12})
    where = (kafka_broker, topic_name, job, tmp_path)
    with pytest.raises(DataError, match="were not read yet"):
        open_source(*where, position=first.position)
    left = {"position": first.position, "expired": "earliest"}
    with open_source(*where, **left) as source:
        with pytest.raises(WindowGone):
            source.next_window(20, second.position)
        windows = drain(source)
    lost = 12 - first.position[topic_name]["1"]
    assert sum(w.counters.get("expired", 0) for w in windows) == lost
    assert sum(w.rows for w in windows) == 60 - first.rows - lost


def test_messages_dropped_while_reading_are_noticed(
    kafka_broker, topic_name, job, tmp_path
):
    filled(kafka_broker, topic_name, job, partitions=1, rows=20)
    where = (kafka_broker, topic_name, job, tmp_path)
    live = {"until_end": False, "wait": 0.2}
    with open_source(*where, **live) as source:
        assert source.next_window(20).rows == 16
        assert source.next_window(20).rows == 4
        # As if it had been slow: asks for an offset that is gone by then.
        kafka_broker.drop_before(topic_name, {0: 10})
        source._buffers[0].read = 5
        source._reader.assign({0: 5})
        with pytest.raises(DataError, match="from 5 to 9 were not read yet"):
            source.next_window(20)


def test_partitions_that_are_added_are_read_from_their_beginnings(
    kafka_broker, topic_name, job, tmp_path
):
    expected = filled(kafka_broker, topic_name, job, partitions=2, rows=40)
    where = (kafka_broker, topic_name, job, tmp_path)
    live = {"until_end": False, "wait": 0.2, "refresh": 0.5}
    with open_source(*where, **live) as source:
        windows = [source.next_window(20) for _ in range(3)]
        kafka_broker.grow(topic_name, 4)
        add(kafka_broker, topic_name, job, partitions=4, rows=40, seed=2)
        while sum(w.rows for w in windows) < 80:
            windows.append(source.next_window(20))
    ids = ids_of(job, windows)
    assert sorted(ids) == [*expected, *range(2000, 2040)]
    # The same windows again, from the beginning, as after a crash.
    with open_source(*where) as source:
        again = [source.next_window(20, w.position) for w in windows]
    assert ids_of(job, again) == ids
    assert [w.start for w in again] == [w.start for w in windows]


def test_a_broker_may_go_and_come_back(kafka_broker, topic_name, job, tmp_path):
    expected = filled(kafka_broker, topic_name, job, partitions=2, rows=40)
    where = (kafka_broker, topic_name, job, tmp_path)
    live = {"until_end": False, "wait": 0.2}
    with open_source(*where, **live) as source:
        windows = [source.next_window(20)]
        kafka_broker.broker.kill()
        while (window := source.next_window(0.5)) is not None:
            windows.append(window)  # what had been fetched before
        kafka_broker.broker.start()
        add(kafka_broker, topic_name, job, partitions=2, rows=20, seed=2)
        while sum(w.rows for w in windows) < 60:
            window = source.next_window(30)
            assert window is not None
            windows.append(window)
    assert ids_of(job, windows) == [*expected, *range(2000, 2020)]


def test_a_broker_that_stays_away_ends_training(
    kafka_broker, topic_name, job, tmp_path, monkeypatch
):
    monkeypatch.setattr("trainer.inputs.kafka_reader._SILENCE", 0.5)
    monkeypatch.setattr("trainer.inputs.kafka_reader._ANSWER", 1.0)
    filled(kafka_broker, topic_name, job, partitions=1, rows=5)
    live = {"until_end": False, "wait": 0.1, "away": 3.0}
    with open_source(kafka_broker, topic_name, job, tmp_path, **live) as source:
        assert source.next_window(20).rows == 5
        kafka_broker.broker.kill()
        try:
            with pytest.raises(TrainingError, match=r"longer than stream.train.away"):
                source.next_window(60)
        finally:
            kafka_broker.broker.start()


def test_notes_for_dashboards_decide_nothing(kafka_broker, topic_name, job, tmp_path):
    expected = filled(kafka_broker, topic_name, job, partitions=1, rows=40)
    where = (kafka_broker, topic_name, job, tmp_path)
    with open_source(*where) as source:
        windows = drain(source)
        source.note(windows[-1].position)
    for position, left in (({}, expected), (windows[0].position, expected[16:])):
        with open_source(*where, position=position) as source:
            assert ids_of(job, drain(source)) == left


def test_a_topic_that_was_made_anew_is_refused(kafka_broker, topic_name, tmp_path):
    where = (kafka_broker.section, topic_name, tmp_path / "kafka.json")
    kafka_broker.make_topic(topic_name, 1)
    check_topic(*where, fresh=True)
    check_topic(*where, fresh=False)
    admin = kafka_broker.admin
    admin.delete_topics([topic_name])[topic_name].result(30)
    kafka_broker.make_topic(topic_name, 1)
    with pytest.raises(DataError, match="made anew"):
        check_topic(*where, fresh=False)
    check_topic(*where, fresh=True)
    check_topic(*where, fresh=False)
