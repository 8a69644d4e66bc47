"""How Kafka is reached, and what a position in it is.

Whether anything is lost or learned twice must not depend on an option, so the options
that decide about offsets are ours alone: positions lie in the checkpoints and manifests
of this project, and what a broker has noted is for dashboards only. Nothing is imported
from a Kafka library here; the functions return what `confluent_kafka` is opened with.
"""

import os
import re
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from configs.errors import JobError
from configs.section import Section

__all__ = [
    "SECRETS",
    "Kafka",
    "OffsetRange",
    "Offsets",
    "client_options",
    "consumer_options",
    "offsets_of",
    "producer_options",
]

Offsets = dict[str, dict[int, int]]
"""A position: {topic: {partition: offset of the next message}}."""

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_OURS = {
    "bootstrap.servers": "write it as kafka.servers",
    "metadata.broker.list": "write it as kafka.servers",
    "group.id": "groups are named after the job",
    "group.instance.id": "partitions are assigned by this project",
    "group.protocol": "partitions are assigned by this project",
    "group.remote.assignor": "partitions are assigned by this project",
    "partition.assignment.strategy": "partitions are assigned by this project",
    "enable.auto.commit": "positions lie in checkpoints and manifests",
    "auto.commit.interval.ms": "positions lie in checkpoints and manifests",
    "auto.commit.enable": "positions lie in checkpoints and manifests",
    "enable.auto.offset.store": "positions lie in checkpoints and manifests",
    "offset.store.method": "positions lie in checkpoints and manifests",
    "auto.offset.reset": "what is done about lost messages is stream.train.expired",
    "isolation.level": "only committed messages are read",
    "enable.partition.eof": "the reader knows the ends itself",
    "check.crcs": "messages are always checked",
    "enable.idempotence": "messages are written in transactions",
    "transactional.id": "transactions are named after the job",
    "acks": "messages are written in transactions",
    "request.required.acks": "messages are written in transactions",
    "partitioner": "partitions are chosen by this project",
    "partitioner_cb": "partitions are chosen by this project",
}
"""Options that decide about offsets, order or loss, and what stands in their place."""

SECRETS = (
    "sasl.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
)
"""Options that must not lie about in job files and run folders."""


class Kafka(Section):
    """Kafka brokers. A value may hold `${NAME}`, which is taken from the environment
    when a connection is made: never written to a file or a log."""

    servers: str = Field(min_length=1)
    """Brokers to begin with: `host:port`, several with commas."""
    options: dict[str, str | bool | int | float] = {}
    """Options of librdkafka, such as `security.protocol`, `sasl.mechanism`,
    `sasl.username` or `fetch.max.bytes`. Those that decide about offsets are refused,
    and passwords that are not taken from the environment."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        problems = _server_problems(self.servers)
        for name, value in self.options.items():
            text = str(value)
            if name in _OURS:
                problems.append(f"{name!r} cannot be set: {_OURS[name]}")
            elif name in SECRETS and _VARIABLE.fullmatch(text) is None:
                problems.append(
                    f"{name!r} holds a secret, and job files are copied into run"
                    f" folders: write it as ${{NAME}}, a variable of the environment"
                )
        for text in (self.servers, *map(str, self.options.values())):
            for variable in _VARIABLE.findall(text):
                if not _VARIABLE_NAME.fullmatch(variable):
                    problems.append(
                        f"${{{variable}}} is no name of a variable: expected letters,"
                        " digits and _"
                    )
        if problems:
            raise ValueError("; ".join(problems))
        return self


@dataclass(frozen=True, kw_only=True, order=True)
class OffsetRange:
    """Messages of one partition.

    Attributes:
        topic: of the partition.
        partition: its number.
        start: offset of the first message that may be in the range.
        stop: offset behind the last one. Offsets may have gaps (transaction marks,
            compaction), so `stop - start` only bounds the messages.
    """

    topic: str
    partition: int
    start: int
    stop: int


def offsets_of(values: dict[str, dict[str, int]]) -> Offsets:
    """Returns a position as JSON gives it back: partitions as text."""
    return {
        topic: {int(partition): offset for partition, offset in partitions.items()}
        for topic, partitions in values.items()
    }


def client_options(kafka: Kafka) -> dict[str, str]:
    """Returns the options that every client has, variables filled in.

    Raises:
        JobError: if a variable is not in the environment.
    """
    options = {
        # Retry for ever with growing pauses; how long is too long is our decision.
        "reconnect.backoff.ms": "100",
        "reconnect.backoff.max.ms": "5000",
        "allow.auto.create.topics": "false",
        "socket.keepalive.enable": "true",
        # Errors come to us, and are told once; the client would repeat them for ever.
        "log_level": "2",
    }
    options |= {name: _text(value) for name, value in kafka.options.items()}
    filled = {name: _filled(name, text) for name, text in options.items()}
    return filled | {"bootstrap.servers": _filled("servers", kafka.servers)}


def consumer_options(kafka: Kafka, group: str) -> dict[str, str]:
    """Returns what a consumer is opened with whose partitions are assigned by hand.

    Args:
        kafka: of the job.
        group: name under which positions may be noted for dashboards.

    Raises:
        JobError: if a variable is not in the environment.
    """
    return client_options(kafka) | {
        "group.id": group,
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        # Messages that are gone must be noticed, never jumped over.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": "true",
        "check.crcs": "true",
    }


def producer_options(kafka: Kafka, transactional_id: str | None) -> dict[str, str]:
    """Returns what a producer is opened with.

    Args:
        kafka: of the job.
        transactional_id: name of the one writer; a newer writer of that name fences an
            older one off. None writes without transactions: each message at least once.

    Raises:
        JobError: if a variable is not in the environment.
    """
    options = client_options(kafka) | {"acks": "all", "enable.idempotence": "true"}
    if transactional_id is not None:
        options["transactional.id"] = transactional_id
    return options


def _server_problems(servers: str) -> list[str]:
    problems = []
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if _VARIABLE.search(server) or (host and colon and port.isdigit()):
            continue
        problems.append(
            f"{server.strip()!r} in kafka.servers: expected host:port, several with"
            " commas"
        )
    return problems


def _text(value: str | bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(name: str, text: str) -> str:
    def value_of(found: re.Match[str]) -> str:
        value = os.environ.get(found[1])
        if value is None:
            raise JobError(
                f"kafka.{name} asks for the variable {found[1]}, which the environment"
                f" does not have: export {found[1]}=... before the command"
            )
        return value

    return _VARIABLE.sub(value_of, text)
