"""Kafka for tests: librdkafka's mock cluster for the quick ones, a real broker.

`mock_kafka` lives in this process and starts in milliseconds: its topics have 4
partitions and appear with their first message; it keeps the last 5 MB of a partition,
knows transactions and no retention by request. `kafka_broker` is one broker for all
tests of a process, real in every respect; what uses it is marked slow, and makes topics
with names of its own (`topic_name`).
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from configs.kafka import Kafka
from scripts.kafka import Broker, jars, make_topic, reason_to_skip

__all__ = [
    "MockKafka",
    "RealKafka",
    "kafka_broker",
    "mock_kafka",
    "topic_name",
]


class Cluster:
    """What tests do with any cluster."""

    servers: str

    @property
    def section(self) -> Kafka:
        """The section of a job file."""
        return Kafka(servers=self.servers)

    def send(
        self,
        topic: str,
        messages: Mapping[int, Sequence[bytes | None]],
        *,
        times: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        """Writes messages to partitions, in order, and waits for them.

        Args:
            topic: of the messages; a mock cluster makes it.
            messages: values by partition.
            times: timestamps in milliseconds, likewise; now unless given.
        """
        failures: list[object] = []
        producer = Producer(
            {"bootstrap.servers": self.servers, "acks": "all", "linger.ms": 5}
        )
        for partition, values in messages.items():
            for number, value in enumerate(values):
                stamp = {} if times is None else {"timestamp": times[partition][number]}
                producer.produce(
                    topic,
                    value=value,
                    partition=partition,
                    on_delivery=lambda error, _: (
                        failures.append(error) if error else None
                    ),
                    **stamp,
                )
                producer.poll(0)
        assert producer.flush(30) == 0
        assert not failures

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        """Returns the first offset and the one behind the last, by partition."""
        options = {"bootstrap.servers": self.servers, "group.id": "ends"}
        consumer = Consumer(options)
        try:
            found = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(
                    TopicPartition(topic, number), timeout=10
                )
                for number in sorted(found)
            }
        finally:
            consumer.close()

    def read(self, topic: str, *, committed: bool = True) -> dict[int, list[bytes]]:
        """Returns the values of all messages, by partition, in order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": "read",
                "enable.auto.commit": False,
                "isolation.level": "read_committed"
                if committed
                else "read_uncommitted",
                "enable.partition.eof": True,
            }
        )
        values: dict[int, list[bytes]] = {number: [] for number in self.ends(topic)}
        consumer.assign([TopicPartition(topic, number, 0) for number in values])
        left = set(values)
        try:
            while left:
                for message in consumer.consume(1000, timeout=0.2):
                    if message.error() is None:
                        values[message.partition()].append(message.value())
                    else:
                        left.discard(message.partition())
        finally:
            consumer.close()
        return values


class MockKafka(Cluster):
    """librdkafka's cluster inside this process."""

    def __init__(self) -> None:
        self._owner = Producer({"test.mock.num.brokers": 1, "log_level": 3})
        brokers = self._owner.list_topics(timeout=10).brokers
        self.servers = ",".join(f"{b.host}:{b.port}" for b in brokers.values())


class RealKafka(Cluster):
    """A broker of `scripts.kafka`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.servers = broker.servers

    @property
    def admin(self) -> AdminClient:
        """A client that may change topics."""
        return AdminClient({"bootstrap.servers": self.servers})

    def make_topic(
        self, topic: str, partitions: int, settings: dict[str, str] | None = None
    ) -> None:
        """Makes a topic and waits until it is there."""
        make_topic(self.servers, topic, partitions, settings)

    def grow(self, topic: str, partitions: int) -> None:
        """Gives a topic more partitions, so many in all."""
        admin = self.admin
        asked = admin.create_partitions([NewPartitions(topic, partitions)])
        asked[topic].result(30)
        ends = time.monotonic() + 30
        while len(admin.list_topics(topic, timeout=10).topics[topic].partitions) < (
            partitions
        ):
            assert time.monotonic() < ends
            time.sleep(0.05)

    def drop_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Removes the messages before an offset, as retention does."""
        where = [TopicPartition(topic, number, at) for number, at in offsets.items()]
        admin = self.admin  # what is asked of it ends with it
        for asked in admin.delete_records(where).values():
            asked.result(30)


@pytest.fixture(scope="session")
def mock_kafka() -> MockKafka:
    """A cluster for quick tests, shared by all of a process."""
    return MockKafka()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A real broker, shared by all tests of a process; a test that stops it starts it
    again. Skipped where Java or Maven is absent, or Maven's repository out of reach."""
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(reason)
    try:
        jars()
    except RuntimeError as error:
        pytest.skip(str(error))
    with Broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield RealKafka(broker)


@pytest.fixture
def topic_name() -> str:
    """A name that no other test has."""
    return f"topic-{uuid.uuid4().hex[:12]}"
