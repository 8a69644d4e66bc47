"""Offset ranges of topics become the same files, whenever they are read."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from configs.errors import DataError
from configs.job import Job
from preprocessing.stream.arrivals import Frozen
from preprocessing.stream.kafka_logs import KafkaLogs, open_kafka_logs
from preprocessing.stream.messages import MAX_MESSAGE_BYTES
from tests.preprocessing.making_jobs import small_job

LOGS = ("impressions", "click", "conversion")


@pytest.fixture(autouse=True)
def no_waiting_for_ids(request, monkeypatch):
    """A mock cluster does not answer when it is asked for the ids of topics."""
    if "mock_kafka" in request.fixturenames:
        monkeypatch.setattr("configs.topic_identity._ANSWER", 0.01)


def job_over(root: Path, servers: str, name: str, **join: object) -> Job:
    """Returns the small job with a topic for each log."""
    topics = {log: f"{name}-{log}" for log in LOGS}
    section = {"topics": topics, "state": str(root / "state"), **join}
    stream = {"kafka": {"servers": servers}, "join": section}
    return small_job(root, f"stream={json.dumps(stream)}")


def record(number: int) -> bytes:
    return json.dumps({"impression": f"i{number}", "time": number}).encode()


def fill(kafka, name: str, messages=None) -> None:
    """Makes the three topics of a mock cluster, the first with messages."""
    kafka.send(f"{name}-impressions", messages or {0: [record(0)]})
    for log in LOGS[1:]:
        kafka.send(f"{name}-{log}", {0: [record(0)]})


def lines(logs: KafkaLogs, frozen: Frozen, folder: Path) -> dict[str, list[bytes]]:
    """Returns the lines of what was frozen, by partition."""
    folder.mkdir()
    return {
        part.partition: Path(part.file.path).read_bytes().splitlines()
        for part in logs.parts(frozen, folder)
    }


def everything(frozen: Frozen) -> dict[str, tuple[int, int]]:
    return {n: (r.start, r.stop) for n, r in frozen.ranges.items() if r.start < r.stop}


def test_jobs_without_topics_have_no_kafka_logs(tmp_path):
    assert open_kafka_logs(small_job(tmp_path)) is None


def test_what_is_frozen_is_read_again_alike(mock_kafka, topic_name, tmp_path):
    shown = {0: [record(n) for n in range(50)], 2: [record(n) for n in range(7)]}
    fill(mock_kafka, topic_name, shown)
    job = job_over(tmp_path, mock_kafka.servers, topic_name)
    logs = KafkaLogs(job)
    frozen = logs.freeze({}, 1_000)
    imps = f"{topic_name}-impressions"
    assert everything(frozen) == {
        f"{imps}/0": (0, 50),
        f"{imps}/2": (0, 7),
        f"{topic_name}-click/0": (0, 1),
        f"{topic_name}-conversion/0": (0, 1),
    }
    assert (frozen.impressions, frozen.left, frozen.is_behind) == (57, 0, False)
    first = lines(logs, frozen, tmp_path / "first")
    assert first[f"{imps}/0"] == shown[0] and first[f"{imps}/2"] == shown[2]
    # What comes later is left to the next ones, and another process reads the same.
    mock_kafka.send(imps, {0: [record(99)], 1: [record(98)]})
    again = Frozen.from_json(json.loads(json.dumps(frozen.to_json())))
    assert lines(KafkaLogs(job), again, tmp_path / "again") == first
    positions = logs.positions({}, frozen)
    later = logs.freeze(positions, 1_000)
    assert everything(later) == {f"{imps}/0": (50, 51), f"{imps}/1": (0, 1)}
    assert lines(logs, later, tmp_path / "later") == {
        f"{imps}/0": [record(99)],
        f"{imps}/1": [record(98)],
    }
    assert logs.freeze(logs.positions(positions, later), 1_000).is_empty


def test_messages_that_are_no_records_say_where_they_are(
    mock_kafka, topic_name, tmp_path
):
    shown = [
        record(0),
        None,
        b"",
        b"  ",
        b"{broken",
        b"[1]",
        b'{"impression":\n "i1",\r\n "time": 1}',
        b"\xff\xfe{}",
        b'{"impression": "i2", "time": "?"}',
        b"a\nb\x00c",
        b"\xef\xbb\xbf" + record(3),
    ]
    fill(mock_kafka, topic_name, {1: shown})
    logs = KafkaLogs(job_over(tmp_path, mock_kafka.servers, topic_name))
    name = f"{topic_name}-impressions/1"
    found = lines(logs, logs.freeze({}, 1_000), tmp_path / "spool")[name]
    assert found == [
        record(0),
        f"message 1 of {name} (tombstone)".encode(),
        f"message 2 of {name} (empty): ".encode(),
        f"message 3 of {name} (empty):   ".encode(),
        f"message 4 of {name} (no JSON object): {{broken".encode(),
        f"message 5 of {name} (no JSON object): [1]".encode(),
        b'{"impression":  "i1",   "time": 1}',
        f"message 7 of {name} (no JSON object): \ufffd\ufffd{{}}".encode(),
        b'{"impression": "i2", "time": "?"}',
        f"message 9 of {name} (no JSON object): a b c".encode(),
        record(3),
    ]


def test_a_huge_message_is_cut(tmp_path):
    from preprocessing.stream.messages import lines_of

    time = KafkaLogsTime.of(tmp_path)
    huge = b'{"time": 1, "x": "' + b"x" * MAX_MESSAGE_BYTES + b'"}'
    found = lines_of("t", 3, [(7, huge), (8, record(1))], time).splitlines()
    assert found[0].startswith(b"message 7 of t/3 (oversized, 41943") and found[1] == (
        record(1)
    )
    assert len(found[0]) < 1_100


class KafkaLogsTime:
    """The time column of the small job's impressions."""

    @staticmethod
    def of(root: Path):
        from preprocessing.fields import impression_fields

        fields = impression_fields(small_job(root))
        return next(field for field in fields if field.kind == "time")


def test_an_unknown_topic_is_refused(mock_kafka, topic_name, tmp_path, monkeypatch):
    monkeypatch.setattr("preprocessing.stream.kafka_logs._RECHECKS", 2)
    logs = KafkaLogs(job_over(tmp_path, mock_kafka.servers, topic_name))
    with pytest.raises(DataError, match="no topic"):
        logs.freeze({}, 10)


def test_a_topic_made_anew_is_noticed(mock_kafka, topic_name, tmp_path, monkeypatch):
    monkeypatch.setattr("preprocessing.stream.kafka_logs._RECHECKS", 2)
    fill(mock_kafka, topic_name)
    logs = KafkaLogs(job_over(tmp_path, mock_kafka.servers, topic_name))
    with pytest.raises(DataError, match="read to offset 5 and ends at 1"):
        logs.freeze({f"{topic_name}-impressions/0": 5}, 10)
    with pytest.raises(DataError, match="partitions 0 to 3"):
        logs.freeze({f"{topic_name}-impressions/9": 0}, 10)


def test_a_broker_that_stays_away_ends_the_join(topic_name, tmp_path):
    job = job_over(tmp_path, "127.0.0.1:1", topic_name, away="500ms")
    with pytest.raises(DataError, match=r"away for [1-3] s .*goes on where it ended"):
        KafkaLogs(job).freeze({}, 10)


def test_a_broker_that_refuses_is_not_waited_for(tmp_path):
    from confluent_kafka import KafkaError

    from preprocessing.stream.patience import Patience

    patience = Patience("somewhere:1", 600.0)
    patience.note(KafkaError(KafkaError._TRANSPORT))
    patience.waited()
    patience.note(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
    with pytest.raises(DataError, match="refuses: wrong password"):
        patience.waited()


@pytest.mark.slow
class TestBroker:
    """What only a real broker does."""

    def topics(self, kafka_broker, name: str) -> None:
        for log in LOGS:
            kafka_broker.make_topic(f"{name}-{log}", 2)

    def test_aborted_and_open_transactions_are_not_read(
        self, kafka_broker, topic_name, tmp_path
    ):
        self.topics(kafka_broker, topic_name)
        topic = f"{topic_name}-impressions"
        options = {"bootstrap.servers": kafka_broker.servers}
        producer = Producer({**options, "transactional.id": topic_name})
        producer.init_transactions(30)

        def write(*numbers: int) -> None:
            producer.begin_transaction()
            for number in numbers:
                producer.produce(topic, record(number), partition=0)
            producer.flush(30)

        write(0, 1)
        producer.commit_transaction(30)
        write(2, 3)
        producer.abort_transaction(30)
        write(4)
        producer.commit_transaction(30)
        write(5)  # stays open
        logs = KafkaLogs(job_over(tmp_path, kafka_broker.servers, topic_name))
        frozen = logs.freeze({}, 100)
        name = f"{topic}/0"
        found = lines(logs, frozen, tmp_path / "all")
        assert found == {name: [record(0), record(1), record(4)]}
        # A range may end, or be nothing but, aborted messages and marks.
        for start, stop, numbers in ((0, 5, (0, 1)), (2, 6, ()), (5, 8, (4,))):
            part = Frozen.from_json(
                {"ranges": {name: {"log": "impressions", "start": start, "stop": stop}}}
            )
            got = lines(logs, part, tmp_path / f"{start}")
            assert got.get(name, []) == [record(n) for n in numbers]
        producer.commit_transaction(30)
        later = logs.freeze(logs.positions({}, frozen), 100)
        assert lines(logs, later, tmp_path / "later") == {name: [record(5)]}

    def test_partitions_are_read_to_one_time(self, kafka_broker, topic_name, tmp_path):
        self.topics(kafka_broker, topic_name)
        times = {0: list(range(1_000, 1_900)), 1: list(range(1_000, 1_900, 9))}
        values = {p: [record(n) for n in numbers] for p, numbers in times.items()}
        kafka_broker.send(f"{topic_name}-impressions", values, times=times)
        clicks = {0: list(range(5_000, 5_100))}
        values = {0: [record(n) for n in clicks[0]]}
        kafka_broker.send(f"{topic_name}-click", values, times=clicks)
        logs = KafkaLogs(job_over(tmp_path, kafka_broker.servers, topic_name))
        positions: dict[str, int] = {}
        frozen = logs.freeze(positions, 500)
        read = everything(frozen)
        assert 400 <= sum(stop for _, stop in read.values()) <= 500
        stops = [read[f"{topic_name}-impressions/{p}"][1] for p in (0, 1)]
        assert stops[0] == pytest.approx(9 * stops[1], abs=9)
        assert f"{topic_name}-click/0" not in read and frozen.is_behind
        assert frozen.ranges[f"{topic_name}-click/0"].behind
        # Each holds the watermark back by its next record, read yet or not.
        assert frozen.ranges[f"{topic_name}-click/0"].head == 5_000
        for partition, numbers in times.items():
            part = frozen.ranges[f"{topic_name}-impressions/{partition}"]
            assert part.head == numbers[part.stop]
        batches = 0
        while not frozen.is_empty:
            positions = logs.positions(positions, frozen)
            frozen, batches = logs.freeze(positions, 500), batches + 1
        assert batches <= 4 and positions[f"{topic_name}-impressions/0"] == 900

    def test_the_next_record_holds_back_unless_it_is_of_the_future(
        self, kafka_broker, topic_name, tmp_path
    ):
        self.topics(kafka_broker, topic_name)
        shown = {0: [record(n) for n in range(6)]}
        stamps = {0: [1_000 * n + 1 for n in range(6)]}
        kafka_broker.send(f"{topic_name}-impressions", shown, times=stamps)
        ahead = {0: [record(0), record(4_102_444_800_000), record(9)], 1: [record(11)]}
        stamps = {0: [1, 10_000, 11_000], 1: [10_000]}
        kafka_broker.send(f"{topic_name}-click", ahead, times=stamps)
        logs = KafkaLogs(job_over(tmp_path, kafka_broker.servers, topic_name))
        ranges = logs.freeze({}, 7).ranges
        held = {p: ranges[f"{topic_name}-click/{p}"] for p in (0, 1)}
        assert [(held[p].stop, held[p].behind) for p in (0, 1)] == [
            (1, True),
            (0, True),
        ]
        assert [held[p].head for p in (0, 1)] == [None, 11]

    def test_messages_of_one_time_are_read_in_shares(
        self, kafka_broker, topic_name, tmp_path
    ):
        self.topics(kafka_broker, topic_name)
        values = {p: [record(n) for n in range(100)] for p in (0, 1)}
        kafka_broker.send(
            f"{topic_name}-click", values, times={p: [7] * 100 for p in (0, 1)}
        )
        logs = KafkaLogs(job_over(tmp_path, kafka_broker.servers, topic_name))
        read = everything(logs.freeze({}, 20))
        assert [stop for _, stop in read.values()] == [10, 10]

    def test_expired_messages_end_the_join_or_are_counted(
        self, kafka_broker, topic_name, tmp_path, capsys
    ):
        self.topics(kafka_broker, topic_name)
        topic = f"{topic_name}-impressions"
        kafka_broker.send(topic, {0: [record(n) for n in range(20)]})
        job = job_over(tmp_path, kafka_broker.servers, topic_name)
        logs = KafkaLogs(job)
        frozen = logs.freeze({f"{topic}/0": 3}, 5)
        kafka_broker.drop_before(topic, {0: 12})
        with pytest.raises(DataError, match=r"9 messages.*3 to 12"):
            logs.freeze({f"{topic}/0": 3}, 100)
        (tmp_path / "gone").mkdir()
        with pytest.raises(DataError, match="had begun with were dropped"):
            logs.parts(frozen, tmp_path / "gone")
        job = job_over(tmp_path, kafka_broker.servers, topic_name, expired="earliest")
        going_on = KafkaLogs(job).freeze({f"{topic}/0": 3}, 100)
        assert everything(going_on) == {f"{topic}/0": (12, 20)}
        assert "9 messages" in capsys.readouterr().err
        # What was never read has lost nothing.
        assert everything(KafkaLogs(job).freeze({}, 100)) == {f"{topic}/0": (12, 20)}

    def test_a_topic_that_holds_as_much_under_its_old_name_is_refused(
        self, kafka_broker, topic_name, tmp_path
    ):
        self.topics(kafka_broker, topic_name)
        topic = f"{topic_name}-impressions"
        kafka_broker.send(topic, {0: [record(n) for n in range(5)]})
        job = job_over(tmp_path, kafka_broker.servers, topic_name)
        logs = KafkaLogs(job)
        positions = logs.positions({}, logs.freeze({}, 100))
        assert KafkaLogs(job).freeze(positions, 100).is_empty
        admin = kafka_broker.admin
        admin.delete_topics([topic])[topic].result(30)
        kafka_broker.make_topic(topic, 2)
        kafka_broker.send(topic, {0: [record(n) for n in range(9)]})
        with pytest.raises(DataError, match=r"made anew.*another stream\.join\.state"):
            KafkaLogs(job).freeze(positions, 100)

    def test_new_partitions_are_read_from_their_beginning(
        self, kafka_broker, topic_name, tmp_path
    ):
        self.topics(kafka_broker, topic_name)
        topic = f"{topic_name}-impressions"
        kafka_broker.send(topic, {0: [record(0)]})
        logs = KafkaLogs(job_over(tmp_path, kafka_broker.servers, topic_name))
        positions = logs.positions({}, logs.freeze({}, 100))
        kafka_broker.grow(topic, 4)
        kafka_broker.send(topic, {3: [record(1)], 1: [record(2)]})
        frozen = logs.freeze(positions, 100)
        assert lines(logs, frozen, tmp_path / "spool") == {
            f"{topic}/1": [record(2)],
            f"{topic}/3": [record(1)],
        }

    def test_a_broker_that_comes_back_is_read_on(
        self, kafka_broker, topic_name, tmp_path, capsys, monkeypatch
    ):
        import threading

        monkeypatch.setattr("preprocessing.stream.patience._SILENT_SECONDS", 0.5)
        self.topics(kafka_broker, topic_name)
        topic = f"{topic_name}-impressions"
        kafka_broker.send(topic, {0: [record(n) for n in range(30)]})
        logs = KafkaLogs(job_over(tmp_path, kafka_broker.servers, topic_name))
        frozen = logs.freeze({}, 100)
        kafka_broker.broker.kill()
        back = threading.Timer(2.0, kafka_broker.broker.start)
        back.start()
        try:
            found = lines(logs, frozen, tmp_path / "spool")
        finally:
            back.join()
        assert len(found[f"{topic}/0"]) == 30
        assert everything(logs.freeze({}, 100)) == everything(frozen)
        said = capsys.readouterr().err
        assert "waiting for Kafka" in said and "is back after" in said
