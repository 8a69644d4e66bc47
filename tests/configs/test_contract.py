import json
from typing import Any

import pytest

from configs import DataError
from configs.contract import (
    check_same_contract,
    data_contract,
    fingerprint,
    model_contract,
)
from tests.configs.jobs import job_of, values


def reordered_features() -> dict[str, Any]:
    features = values()["features"]
    return {"features": {name: features[name] for name in reversed(features)}}


# A change that makes examples differ, and what the message must name.
DATA_CHANGES = [
    ({"features.price.column": "cost"}, "features.price.column"),
    ({"features.user.type": "string"}, "features.user.type"),
    ({"features.tags.max_length": 3}, "features.tags.max_length"),
    ({"features.picture.length": 4}, "features.picture.length"),
    ({"features.history.max_length": 6}, "features.history.max_length"),
    ({"features.history.fields.age.column": "ages"}, "features.history.fields.age"),
    ({"features.extra": {"kind": "numeric"}}, "features.extra: absent"),
    ({"features.picture": ...}, "features.picture: has"),
    ({"labels.click.window": "10m"}, "labels.click.window: has '30m'"),
    ({"ids.request": ...}, "ids.request"),
    (
        {"preprocessing.sampling.negative_keep_rate": 0.2},
        "sampling.negative_keep_rate: has 0.1, the job has 0.2",
    ),
    ({"preprocessing.sampling.seed": 9}, "sampling.seed"),
    ({"preprocessing.sampling": {}}, "sampling"),
    (reordered_features(), "another order"),
]


@pytest.mark.parametrize(("changes", "words"), DATA_CHANGES, ids=lambda v: str(v)[:40])
def test_other_data_has_another_contract_and_the_difference_is_named(changes, words):
    old, new = data_contract(job_of()), data_contract(job_of(changes))
    assert fingerprint(old) != fingerprint(new)
    with pytest.raises(DataError) as caught:
        check_same_contract(old, new, what="the example set out/examples")
    message = str(caught.value)
    assert words in message
    assert message.startswith("the example set out/examples does not fit the job")


# A change that leaves the examples as they are.
MODEL_CHANGES = [
    {"features.user.embedding.buckets": 5},
    {"features.item.embedding.dim": 16},
    {"features.tags.pooling": "sum"},
    {"features.price.transform": "standardize"},
    {"features.price.group": "context"},
    {"model.embedding_dim": 16},
    {"model.backbone": {"name": "dcn_v2"}},
    {"model.tasks.click.losses": [{"name": "bce"}]},
    {"model.auxiliary": []},
    {"training": {"optimizer": {"embeddings": {"name": "adagrad"}}}},
]


@pytest.mark.parametrize("changes", MODEL_CHANGES, ids=str)
def test_another_model_keeps_the_data_and_refuses_the_checkpoint(changes):
    old, new = job_of(), job_of(changes)
    check_same_contract(data_contract(old), data_contract(new), what="the set")
    assert fingerprint(model_contract(old)) != fingerprint(model_contract(new))


# A change that concerns neither.
OTHER_CHANGES = [
    {"name": "other"},
    {"data.run": "elsewhere"},
    {"training": {"epochs": 9, "batch_size": 8}},
    {"training": {"optimizer": {"dense": {"learning_rate": 0.5}}}},
    {"preprocessing.buckets": 3},
    {"export": {"warmup_rows": 1}},
]


@pytest.mark.parametrize("changes", OTHER_CHANGES, ids=str)
def test_settings_of_running_change_no_contract(changes):
    old, new = job_of(), job_of(changes)
    assert fingerprint(data_contract(old)) == fingerprint(data_contract(new))
    assert fingerprint(model_contract(old)) == fingerprint(model_contract(new))


def test_a_contract_survives_json():
    contract = model_contract(job_of())
    assert fingerprint(json.loads(json.dumps(contract))) == fingerprint(contract)


def test_a_seed_without_sampling_is_no_part_of_the_contract():
    plain = data_contract(job_of({"preprocessing.sampling": {}}))
    seeded = data_contract(job_of({"preprocessing.sampling": {"seed": 4}}))
    assert fingerprint(plain) == fingerprint(seeded)


def test_many_differences_are_cut_off():
    found = {"features": {str(number): number for number in range(50)}}
    with pytest.raises(DataError) as caught:
        check_same_contract(found, {"features": {}}, what="it")
    assert len(str(caught.value).splitlines()) == 22
