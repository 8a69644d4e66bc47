"""What heads start at: the rate of each task's label in training rows, before negatives
were dropped, and given the task before of a task over the entire space."""

from configs.job import Job
from configs.manifest import ExampleSplit

__all__ = ["base_rates", "rows_of_task"]


def rows_of_task(job: Job, split: ExampleSplit, task: str) -> int | None:
    """Returns the rows that a task is learned on, dropped negatives included.

    None if that is not known: of a task with `given`, whose label can also be 1 where
    the given one is 0, the manifest does not count them.
    """
    return _rows_given(job, split, task, job.model.tasks[task].given)


def _rows_given(
    job: Job, split: ExampleSplit, task: str, given: str | None
) -> int | None:
    if given is None:
        return split.rows + split.dropped
    return split.positives[given] if job.labels[task].after == given else None


def base_rates(job: Job, split: ExampleSplit) -> dict[str, float]:
    """Returns the rate that a head gives, by task, where it is known and not 0 or 1.

    Positives of a label other than the sampled one may have been dropped with the
    negatives; its rate is then a lower bound.
    """
    rates = {}
    for task, section in job.model.tasks.items():
        given = section.given or section.entire_space
        rows = _rows_given(job, split, task, given)
        if rows is not None and 0 < split.positives[task] < rows:
            rates[task] = split.positives[task] / rows
    return rates
