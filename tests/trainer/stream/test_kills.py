"""`kill -9` at random moments: the same bits, every id learned once."""

from pathlib import Path

import pytest

from benchmarks.streaming.kills import PARTITIONS, prove
from tests.kafka_cluster import RealKafka


@pytest.mark.slow
def test_a_folder(tmp_path: Path) -> None:
    report = prove(tmp_path, kills=5, rows=8_000)
    assert report["equal"], report
    # A quick machine may learn all of it before the last kills.
    assert report["kills"] >= 2 and report["tensors"] > 10


@pytest.mark.slow
def test_kafka_with_other_offsets_at_the_broker(
    tmp_path: Path, kafka_broker: RealKafka, topic_name: str
) -> None:
    kafka_broker.make_topic(topic_name, PARTITIONS)
    report = prove(
        tmp_path, kills=2, rows=6_000, servers=kafka_broker.servers, topic=topic_name
    )
    assert report["equal"], report
    assert report["kills"] >= 1
