"""The rate of each task's label before negatives were dropped, in training rows."""

from configs.job import Job
from configs.manifest import ExampleSplit

__all__ = ["base_rates", "rows_of_task"]


def rows_of_task(job: Job, split: ExampleSplit, task: str) -> int | None:
    """Returns the rows that a task is learned on, dropped negatives included.

    None if that is not known: of a task with `given`, whose label can also be 1 where
    the given one is 0, the manifest does not count them.
    """
    given = job.model.tasks[task].given
    if given is None:
        return split.rows + split.dropped
    return split.positives[given] if job.labels[task].after == given else None


def base_rates(job: Job, split: ExampleSplit) -> dict[str, float]:
    """Returns the observed rate by task, where it is known and neither 0 nor 1.

    Positives of a label other than the sampled one may have been dropped with the
    negatives; its rate is then a lower bound.
    """
    rates = {}
    for task in job.model.tasks:
        rows = rows_of_task(job, split, task)
        if rows is not None and 0 < split.positives[task] < rows:
            rates[task] = split.positives[task] / rows
    return rates
