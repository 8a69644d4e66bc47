"""The rate of each task's label before negatives were dropped, in training rows."""

from configs.job import Job
from configs.manifest import ExampleSplit

__all__ = ["base_rates"]


def base_rates(job: Job, split: ExampleSplit) -> dict[str, float]:
    """Returns the observed rate by task, where it lies strictly between 0 and 1.

    Of a task with `given`, it is the rate among the rows where that label is 1; rows of
    a label other than the sampled one may have been dropped with the negatives, and
    its rate is then a lower bound.
    """
    rates = {}
    for task, section in job.model.tasks.items():
        rows = split.rows + split.dropped
        if section.given is not None:
            rows = split.positives[section.given]
        if 0 < split.positives[task] < rows:
            rates[task] = split.positives[task] / rows
    return rates
