"""What a job may say of several tasks, and what is refused."""

from typing import Any

import pytest

from configs import JobError
from tests.configs.jobs import job_of

ENTIRE: dict[str, Any] = {
    "model.tasks.purchase.given": ...,
    "model.tasks.purchase.entire_space": "click",
}


def test_a_product_names_its_factors_and_outputs() -> None:
    model = job_of(ENTIRE).model
    assert model.factors("click") == ["click"]
    assert model.factors("purchase") == ["click", "purchase"]
    assert model.conditionals == {"purchase": "purchase_given_click"}
    assert job_of().model.conditionals == {}


@pytest.mark.parametrize(
    ("changes", "correction"),
    [
        ({}, "logit_shift"),
        ({"model.tasks.purchase.correction": "weights"}, "weights"),
        (
            {
                "preprocessing.sampling.label": "purchase",
                "model.tasks.click.correction": "weights",
            },
            "logit_shift",
        ),
    ],
)
def test_corrections_of_a_product(changes: dict[str, Any], correction: str) -> None:
    assert job_of({**ENTIRE, **changes}).correction("purchase") == correction


CLICK = "model.tasks.purchase.entire_space"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({CLICK: "view"}, ["expected a task that stands above it (['click'])"]),
        ({CLICK: "purchase"}, ["stands above it", "got 'purchase'"]),
        ({"model.tasks.purchase.given": "click"}, ["keep one of them"]),
        ({"model.tasks.purchase.head": "two_logits"}, ["use 'head: single_logit'"]),
        (
            {"labels.purchase.after": ...},
            ["a label that is 1 after 'click' alone", "labels.purchase.after: click"],
        ),
        (
            {"model.tasks.click": {"given": "purchase"}},
            ["'click' is itself learned on a part of the rows"],
        ),
        (
            {
                "labels.view": {"column": "view"},
                "model.tasks.view": {},
                "preprocessing.sampling.label": "view",
            },
            ["model.tasks.purchase: negatives of 'view' are dropped"],
        ),
        (
            {"model.multi_task": {"name": "mmoe", "experts": 1}},
            ["model.multi_task", "experts", "greater than or equal to 2"],
        ),
        (
            {"model.multi_task": {"name": "shared_bottom", "tower": []}},
            ["model.multi_task", "tower"],
        ),
        ({"model.multi_task": {"name": "moe"}}, ["model.multi_task", "'mmoe'"]),
    ],
)
def test_refusals(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(JobError) as caught:
        job_of({**ENTIRE, **changes})
    for word in words:
        assert word in str(caught.value)


def test_the_name_of_a_conditional_is_no_other_task() -> None:
    changes = {
        **ENTIRE,
        "labels.purchase_given_click": {"column": "x"},
        "model.tasks.purchase_given_click": {},
    }
    with pytest.raises(JobError, match="which is also a task: rename that label"):
        job_of(changes)
