"""TF_CONFIG is read, and what is wrong with it is said."""

import json

import pytest

from configs.errors import JobError
from trainer.cluster import cluster_from, tf_config


def environment(cluster, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_own_form_is_read():
    cluster = cluster_from({"TF_CONFIG": tf_config(["a:1", "b:2", "c:3"], 2)})
    assert cluster.workers == 3
    assert cluster.index == 2
    assert not cluster.is_chief


def test_a_chief_comes_before_the_workers():
    addresses = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    chief = cluster_from(environment(addresses, {"type": "chief", "index": 0}))
    worker = cluster_from(environment(addresses, {"type": "worker", "index": 0}))
    assert chief.addresses == worker.addresses == ("a:1", "b:2", "c:3")
    assert chief.is_chief
    assert worker.index == 1


WORKER = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "not set"),
        ({"TF_CONFIG": "{"}, "not JSON"),
        ({"TF_CONFIG": "[]"}, "no 'cluster'"),
        (environment({"worker": ["a:1"], "ps": ["b:2"]}, WORKER), "ps"),
        (environment({"worker": ["a"]}, WORKER), "host:port"),
        (environment({"worker": "a:1"}, WORKER), "host:port"),
        (environment({"worker": ["a:123456"]}, WORKER), "host:port"),
        (environment({"worker": []}, WORKER), "no worker"),
        (environment({"worker": ["a:1", "a:1"]}, WORKER), "twice"),
        (environment({"worker": ["a:1"]}, {"type": "worker", "index": 1}), "one of"),
        (environment({"worker": ["a:1"]}, None), "one of"),
    ],
)
def test_what_is_wrong_is_said(given, said):
    with pytest.raises(JobError, match=said):
        cluster_from(given)
