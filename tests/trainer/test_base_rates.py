import numpy as np
import pytest

from configs.manifest import ExampleSplit
from tests.configs.jobs import job_of
from trainer.base_rates import base_rates
from trainer.inference import build_inference_model


def split(rows: int, dropped: int, **positives: int) -> ExampleSplit:
    return ExampleSplit(
        rows=rows,
        positives=positives,
        first_time=0,
        last_time=1,
        sampled=dropped > 0,
        dropped=dropped,
        shards=[],
    )


def test_rates_count_the_rows_that_sampling_dropped():
    rates = base_rates(job_of(), split(100, 300, click=20, purchase=5))
    assert rates == {"click": 20 / 400, "purchase": 5 / 20}


@pytest.mark.parametrize("clicks", [0, 100])
def test_a_label_that_is_always_the_same_has_no_rate(clicks):
    assert base_rates(job_of(), split(100, 0, click=clicks, purchase=0)) == {}


def test_the_rate_of_a_task_whose_label_stands_alone_is_not_known():
    job = job_of({"labels.purchase.after": ...})
    assert base_rates(job, split(100, 0, click=20, purchase=30)) == {"click": 0.2}


def test_a_head_starts_at_the_rate():
    job = job_of()
    model = build_inference_model(job, vocabulary_sizes={"item": 3})
    before = model.heads["click"].variables[-1].numpy()
    model.heads["click"].start_at(-2.5)
    assert before == pytest.approx(0.0)
    assert np.asarray(model.heads["click"].variables[-1]) == pytest.approx(-2.5)
