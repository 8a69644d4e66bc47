"""The rules of `stream`, with the message that the user reads."""

from typing import Any

import pytest

from configs import JobError, dump_job, parse_job
from tests.configs.jobs import job_of

BROKER = {"stream.kafka.servers": "127.0.0.1:9092"}
JOIN = {"stream.join.state": "out/join"}
TOPICS = {"impressions": "shown", "click": "clicks", "purchase": "orders"}

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (JOIN | {"stream.join.topics": TOPICS}, ["stream.kafka.servers"]),
    (BROKER | JOIN, ["stream.kafka: nothing uses it"]),
    ({"stream.examples_topic": "examples"}, ["stream.kafka.servers"]),
    (
        BROKER | JOIN | {"stream.join.topics": {**TOPICS, "clik": "x"}},
        ["no log 'clik'", "Did you mean 'click'?"],
    ),
    (
        BROKER | JOIN | {"stream.join.topics": {"impressions": "shown"}},
        ["no topic for click, purchase", "either all logs"],
    ),
    ({"stream.train.engine": "tensorflow_io"}, ["name stream.examples_topic"]),
    ({"stream.train.slices": ["price"]}, ["'price' is no categorical feature"]),
    (JOIN | {"ids.event": "$row"}, ["stream.join: $row", "no row numbers"]),
    (JOIN | {"stream.join.observe": "7d"}, ["observe is 7d", "leave it out"]),
    ({"stream.join.interval": "1s"}, ["stream.join.state"]),
    ({"stream.publish.keep_versions": 1}, ["keep_versions"]),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=lambda c: str(c)[:50])
def test_a_broken_rule_is_refused_with_its_reason(changes, words):
    with pytest.raises(JobError) as caught:
        job_of(changes)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": {}},
        JOIN,
        JOIN | {"stream.join.observe": "10m"},
        BROKER | JOIN | {"stream.join.topics": TOPICS},
        BROKER | {"stream.examples_topic": "examples"},
        {"stream.train.slices": ["user", "twin"]},
    ],
    ids=lambda c: str(list(c))[:50],
)
def test_what_is_accepted_survives_being_written_and_read(changes):
    job = job_of(changes)
    assert parse_job(dump_job(job)) == job


def test_rows_that_a_stream_would_leave_aside_are_told_of():
    assert any("20% of its rows" in w for w in job_of({"stream": {}}).warnings())
    whole = {"by": "hash", "validation": 0.0, "test": 0.0}
    job = job_of({"stream": {}, "preprocessing.split": whole})
    assert not any("preprocessing.split" in w for w in job.warnings())
