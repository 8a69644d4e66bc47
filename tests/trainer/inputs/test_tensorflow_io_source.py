"""tensorflow-io's engine: settings that would break it are refused."""

import pytest

from configs.errors import DataError, JobError
from configs.kafka import Kafka
from configs.layout import layout_of
from configs.preprocess import DeadLetters
from tests.trainer.example_sets import small_job
from tests.trainer.inputs.kafka_messages import examples, ids_of, spread
from trainer.inputs.dead_messages import DeadMessages
from trainer.inputs.kafka_source import Windows
from trainer.inputs.screening import Screen
from trainer.inputs.stream_source import WindowGone
from trainer.inputs.tensorflow_io_source import TensorflowIoSource, group_settings

SECRET = {"sasl_password": "${KAFKA_PASSWORD}"}


def settings(**options):
    given = {name.replace("_", "."): value for name, value in options.items()}
    return group_settings(Kafka(servers="127.0.0.1:9092", options=given))


def test_messages_are_not_held_back_by_default():
    assert "batch.num.messages=256" in settings()
    assert "auto.offset.reset=earliest" in settings()
    assert "socket.keepalive.enable=true" in settings(socket_keepalive_enable=True)
    assert "batch.num.messages=16" in settings(batch_num_messages=16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sasl_username": "a=b"}, "at which it would be cut"),
        ({"ssl_ca_location": "/etc/kafka.conf.d/ca"}, "dropped silently"),
        ({"batch_num_messages": 10_000}, "expected 1 to 1024"),
        ({"batch_num_messages": "many"}, "expected 1 to 1024"),
    ],
)
def test_settings_that_break_it_silently_are_refused(options, said):
    with pytest.raises(JobError, match=said):
        settings(**options)


def test_a_password_is_never_written_to_the_log(monkeypatch):
    monkeypatch.setenv("KAFKA_PASSWORD", "secret")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with pytest.raises(JobError, match="written to the log") as raised:
        settings(**SECRET)
    assert "secret" not in str(raised.value)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    assert "sasl.password=secret" in settings(**SECRET)


def source_of(cluster, topic, job, folder):
    return TensorflowIoSource(
        cluster.section,
        topic,
        f"group-{topic}",
        Windows(rows=40, wait=0.5),
        Screen(layout_of(job)),
        DeadMessages(folder / "dead.jsonl", DeadLetters(max_share=0.5)),
    )


def test_positions_of_the_exact_engine_are_refused(mock_kafka, tmp_path):
    job = small_job(tmp_path)
    with pytest.raises(DataError, match="cannot go on from"):
        source_of(mock_kafka, "examples", job, tmp_path).open({"examples": {"0": 1}})


@pytest.mark.slow
def test_a_topic_is_read_and_poison_put_aside(mock_kafka, topic_name, tmp_path):
    pytest.importorskip("tensorflow_io")
    job = small_job(tmp_path)
    values = spread([*examples(job, 90), b"poison"], 2)
    mock_kafka.send(topic_name, values)
    windows = []
    with source_of(mock_kafka, topic_name, job, tmp_path) as source:
        source.open({})
        with pytest.raises(WindowGone):
            source.next_window(1, {})
        while sum(window.rows for window in windows) < 90:
            window = source.next_window(30)
            assert window is not None
            windows.append(window)
        assert sorted(ids_of(job, windows)) == list(range(1000, 1090))
        assert len((tmp_path / "dead.jsonl").read_text().splitlines()) == 1
        with pytest.raises(DataError, match="two of them"):
            source.open({})
