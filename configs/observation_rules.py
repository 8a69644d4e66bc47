"""The rules and warnings about which rows of late labels a task learns from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["observation_problems", "observation_warnings"]

_UNWEIGHABLE = {
    "combined_contrastive": "it would compare a row with itself",
    "pwiser": "its margins hold between rows of known conversions",
}
"""Losses for which a row cannot be a fake negative and a positive, and why."""


def observation_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong with `observations`, and how to mend it."""
    for name, task in job.model.tasks.items():
        place = f"model.tasks.{name}"
        if task.observations == "settled" and job.late_labels and _no_negatives(job):
            yield (
                f"{place}.observations is 'settled', but stream.join.real_negatives is"
                " false, so that its only rows would be positives: set that to true, or"
                " this to 'fnw'"
            )
        if task.observations == "fnw":
            yield from _weighting_problems(job, name)
        if job.late_labels and task.given is not None and name in job.labels:
            if task.given not in _before(job, name):
                yield (
                    f"{place}.given: labels come late (stream.join.observe), so"
                    f" {name!r} has to come after {task.given!r}, or its rows cannot be"
                    f" told apart: set 'labels.{name}.after: {task.given}'"
                )


def _no_negatives(job: "Job") -> bool:
    stream = job.stream
    return bool(stream and stream.join and not stream.join.real_negatives)


def _weighting_problems(job: "Job", name: str) -> Iterator[str]:
    task, place = job.model.tasks[name], f"model.tasks.{name}"
    for loss in task.losses:
        if loss.name in _UNWEIGHABLE:
            yield (
                f"{place}: 'observations: fnw' shows a row as a negative and later as a"
                f" positive, which is nothing for {loss.name}, since"
                f" {_UNWEIGHABLE[loss.name]}: use 'settled', or another loss"
            )
    sampled = job.preprocessing.sampling.active and name in job.labels
    if sampled and task.entire_space and job.correction(name) == "logit_shift":
        yield (
            f"{place}.correction: fake negatives of a product are a mixture of kept and"
            " dropped ones, so 'observations: fnw' has no exact weights with a logit"
            " shift: use 'correction: weights'"
        )


def observation_warnings(job: "Job") -> Iterator[str]:
    """Yields a sentence for each choice that has no effect, or bends probabilities."""
    if job.late_labels and _no_negatives(job):
        yield (
            "stream.join.real_negatives is false: of rows whose labels are known for"
            " good only the positive ones leave, so that metrics of the stream, which"
            " are taken on these, and the gate that reads them mean nothing"
        )
    for name, task in job.model.tasks.items():
        place = f"model.tasks.{name}.observations"
        if task.observations == "settled":
            continue
        if not job.late_labels:
            yield (
                f"{place} is {task.observations!r} although no label comes late:"
                " without stream.join.observe each row leaves once, when its labels are"
                " decided"
            )
        elif task.observations != "fnw":
            yield (
                f"{place} is {task.observations!r}: predictions of {name!r} will be too"
                " low, since positives that come late count as negatives. 'fnw' and"
                " 'settled' are right"
            )


def _before(job: "Job", name: str) -> set[str]:
    """Returns the labels that `name` comes after, near and far."""
    found: set[str] = set()
    label = job.labels[name].after
    while label is not None and label in job.labels and label not in found:
        found.add(label)
        label = job.labels[label].after
    return found
