"""How a job says where Kafka is, and what it may not say."""

import json

import pytest
from pydantic import ValidationError

from configs.errors import JobError
from configs.kafka import (
    Kafka,
    client_options,
    consumer_options,
    offsets_of,
    producer_options,
)

SERVERS = "one:9092, two:9092"


@pytest.mark.parametrize(
    "name",
    [
        "enable.auto.commit",
        "auto.offset.reset",
        "group.id",
        "isolation.level",
        "transactional.id",
        "partition.assignment.strategy",
        "bootstrap.servers",
    ],
)
def test_options_that_decide_about_offsets_are_refused(name):
    with pytest.raises(ValidationError, match="cannot be set"):
        Kafka(servers=SERVERS, options={name: "earliest"})


def test_secrets_are_only_taken_from_the_environment(monkeypatch):
    with pytest.raises(ValidationError, match="holds a secret"):
        Kafka(servers=SERVERS, options={"sasl.password": "plain"})
    kafka = Kafka(servers=SERVERS, options={"sasl.password": "${KAFKA_WORD}"})
    monkeypatch.delenv("KAFKA_WORD", raising=False)
    with pytest.raises(JobError, match="export KAFKA_WORD"):
        client_options(kafka)
    monkeypatch.setenv("KAFKA_WORD", "a=b$c")
    assert client_options(kafka)["sasl.password"] == "a=b$c"
    assert "a=b$c" not in kafka.model_dump_json() + repr(kafka)


def test_servers_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("BROKERS", "here:1")
    options = client_options(Kafka(servers="${BROKERS},there:2"))
    assert options["bootstrap.servers"] == "here:1,there:2"


@pytest.mark.parametrize("servers", ["localhost", "host:", ":9092", "a:1,b"])
def test_servers_have_ports(servers):
    with pytest.raises(ValidationError, match="expected host:port"):
        Kafka(servers=servers)


def test_a_variable_has_a_name():
    with pytest.raises(ValidationError, match="no name of a variable"):
        Kafka(servers="${a b}")


def test_values_are_written_as_the_library_reads_them():
    given = {"socket.keepalive.enable": False, "fetch.max.bytes": 1000}
    kafka = Kafka(servers=SERVERS, options=given)
    options = consumer_options(kafka, "group")
    assert options["socket.keepalive.enable"] == "false"
    assert options["fetch.max.bytes"] == "1000"


def test_offsets_are_ours():
    kafka = Kafka(servers=SERVERS)
    options = consumer_options(kafka, "group")
    assert options["enable.auto.commit"] == options["enable.auto.offset.store"]
    assert options["enable.auto.commit"] == "false"
    assert options["auto.offset.reset"] == "error"
    assert options["isolation.level"] == "read_committed"
    assert producer_options(kafka, "writer")["transactional.id"] == "writer"
    assert "transactional.id" not in producer_options(kafka, None)


def test_positions_come_back_from_json():
    offsets = {"topic": {0: 5, 11: 7}}
    assert offsets_of(json.loads(json.dumps(offsets))) == offsets
