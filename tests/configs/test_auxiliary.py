"""What auxiliary tasks need of a job, and how a job without it is refused."""

from typing import Any

import pytest

from configs.auxiliary_rules import field_tables
from configs.errors import JobError
from tests.configs.jobs import job_of

DNN = {"name": "dnn"}
NO_SEQUENCE: dict[str, Any] = {"features.history": ..., "model.backbone": DNN}
SHORT: dict[str, Any] = {"features.history.max_length": 1}
ONE_WIDTH: dict[str, Any] = {
    "features.item.embedding": {"vocabulary": {"min_count": 2}}
}
FEW: dict[str, Any] = {
    **NO_SEQUENCE,
    **{f"features.{name}": ... for name in ("twin", "tags", "item", "hour")},
    "ids.item": ...,
}


def auxiliary(name: str, **options: Any) -> dict[str, Any]:
    return {"model.auxiliary": [{"name": name, **options}]}


ACCEPTED: list[dict[str, Any]] = [
    auxiliary("dmr", target_buckets=9),
    auxiliary("dmr", targets="shared"),
    auxiliary("deepmcp_matching", task="purchase"),
    auxiliary("deepmcp_correlation", sequence="history"),
    {**NO_SEQUENCE, **auxiliary("deepmcp_matching")},
    {**NO_SEQUENCE, **ONE_WIDTH, **auxiliary("cl4ctr_contrastive")},
    {**NO_SEQUENCE, **ONE_WIDTH, **auxiliary("cl4ctr_uniformity")},
    auxiliary("cl4ctr_alignment"),
]

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({**NO_SEQUENCE, **auxiliary("dmr")}, ["dmr: name its 'sequence'", "has none"]),
    (auxiliary("dmr"), ["history.item has a vocabulary", "'target_buckets'"]),
    (
        auxiliary("dmr", targets="shared", target_buckets=9),
        ["target_buckets has no use with 'targets: shared'"],
    ),
    (
        {**SHORT, **auxiliary("dmr", target_buckets=9)},
        ["'history' keeps one", "'features.history.max_length' to 2 or more"],
    ),
    ({**SHORT, **auxiliary("deepmcp_correlation")}, ["'history' keeps one"]),
    (
        {**NO_SEQUENCE, **auxiliary("deepmcp_correlation")},
        ["deepmcp_correlation: name its 'sequence'"],
    ),
    (auxiliary("deepmcp_correlation", sequence="past"), ["no sequence feature 'past'"]),
    (auxiliary("deepmcp_matching", task="clik"), ["Did you mean 'click'?"]),
    (
        {
            **NO_SEQUENCE,
            "features.user.group": "context",
            **auxiliary("deepmcp_matching"),
        },
        ["no feature has 'group: user' and there is no sequence"],
    ),
    (auxiliary("cl4ctr_contrastive"), ["one width", "'item': 4", "'hour': 8"]),
    (auxiliary("cl4ctr_contrastive", rate=1.0), ["rate"]),
    ({**FEW, **auxiliary("cl4ctr_contrastive")}, ["several embedded", "['user']"]),
    (
        {**ONE_WIDTH, "model.embedding_dim": 1, **auxiliary("cl4ctr_contrastive")},
        ["leaves nothing of one number"],
    ),
    (auxiliary("cl4ctr_uniformity"), ["compares different fields", "'twin': 4"]),
    ({**FEW, **auxiliary("cl4ctr_uniformity")}, ["there is but one table: ['user']"]),
    (
        {
            **FEW,
            "features.user": ...,
            "ids.user": ...,
            **auxiliary("cl4ctr_alignment"),
        },
        ["no feature is categorical or bucketized"],
    ),
]


@pytest.mark.parametrize("changes", ACCEPTED, ids=lambda c: str(c)[-60:])
def test_a_job_with_what_a_task_needs(changes: dict[str, Any]) -> None:
    assert len(job_of(changes).model.auxiliary) == 1


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=lambda x: str(x)[-60:])
def test_a_job_without_what_a_task_needs(
    changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(JobError) as caught:
        job_of(changes)
    for word in words:
        assert word in str(caught.value)


def test_features_that_share_a_table_are_one_field() -> None:
    assert field_tables(job_of()) == {
        "user": ["user"],
        "item": ["item", "twin"],
        "hour": ["hour"],
    }
