"""The rules between a job's model and its other sections."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.auxiliary_rules import auxiliary_problems
from configs.experts import EmbeddingSet
from configs.features import (
    NumericFeature,
    SequenceFeature,
    TimeFeature,
    embedded_features,
)
from configs.loss_rules import loss_problems
from configs.model import Task
from configs.observation_rules import observation_problems
from configs.section import suggestion

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["model_problems"]


def model_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong between the model and the rest, and how to mend it."""
    yield from _task_problems(job)
    yield from loss_problems(job)
    yield from observation_problems(job)
    yield from _backbone_problems(job)
    yield from auxiliary_problems(job)


def _task_problems(job: "Job") -> Iterator[str]:
    for name, task in job.model.tasks.items():
        if name not in job.labels:
            yield (
                f"model.tasks.{name}: no label of that name."
                f"{suggestion(name, job.labels)}"
            )
        if task.given is not None and (
            task.given not in job.labels or task.given == name
        ):
            yield (
                f"model.tasks.{name}.given: expected another label, got {task.given!r}"
            )
        if task.entire_space is not None and name in job.labels:
            yield from _product_problems(job, name, task.entire_space)
        yield from _correction_problems(job, name, task)


def _product_problems(job: "Job", name: str, first: str) -> Iterator[str]:
    if job.labels[name].after != first:
        yield (
            f"model.tasks.{name}.entire_space: a product of p({first}) and p({name}"
            f" given {first}) needs a label that is 1 after {first!r} alone: set"
            f" 'labels.{name}.after: {first}' (found {job.labels[name].after!r})"
        )


def _correction_problems(job: "Job", name: str, task: Task) -> Iterator[str]:
    sampling = job.preprocessing.sampling
    if not sampling.active or job.sampled_label in job.model.factors(name):
        return
    if task.given == job.sampled_label:
        if task.correction in ("logit_shift", "weights"):
            yield (
                f"model.tasks.{name}.correction: rows with {task.given} = 1 are all"
                f" kept, so there is nothing to correct: remove it"
            )
    elif task.correction == "logit_shift":
        yield (
            f"model.tasks.{name}.correction: no logit shift is right for"
            f" {name!r}, because its negatives are a mixture of kept and dropped"
            f" ones: use 'weights', or 'given: {job.sampled_label}'"
        )
    elif task.correction is None:
        yield (
            f"model.tasks.{name}: negatives of {job.sampled_label!r} are"
            f" dropped, so say how this task is corrected:"
            f" 'given: {job.sampled_label}', or 'correction: weights'"
        )


def _sequences(job: "Job") -> list[str]:
    return [n for n, f in job.features.items() if isinstance(f, SequenceFeature)]


def _backbone_problems(job: "Job") -> Iterator[str]:
    backbone = job.model.backbone
    if backbone.reads_sequences and not _sequences(job):
        yield (
            f"model.backbone: {backbone.name} needs behaviours, and no feature is a"
            " sequence"
        )
    if backbone.name == "dien" and job.training.jit_compile:
        yield (
            "training.jit_compile: the gradient of dien's recurrences cannot be"
            " compiled: remove it"
        )
    if backbone.name == "logistic_regression":
        wide = {
            name: width
            for name, width in _embedding_widths(job)
            if width is not None and width != 1
        }
        if wide:
            yield (
                "model.backbone: logistic_regression needs embeddings of dim 1, got"
                f" {wide}: set 'model.embedding_dim: 1' and no other 'dim'"
            )
    if backbone.equal_widths:
        yield from _width_problems(job)
    if backbone.name == "experts":
        for number, chosen in enumerate(backbone.sets):
            yield from _set_problems(job, number, chosen)
    if backbone.gives_score and job.model.multi_task is not None:
        yield (
            f"model.multi_task: {backbone.name} gives one score and no hidden vector to"
            " build on: remove it, or use another backbone"
        )


def _width_problems(job: "Job") -> Iterator[str]:
    """What is wrong with the widths for a backbone that multiplies embeddings."""
    widths = dict(_embedding_widths(job))
    backbone = job.model.backbone
    yield from _uneven_problems(backbone.name, widths)
    if backbone.name == "masknet" and 1 in widths.values():
        yield (
            "model.backbone: masknet normalizes each embedding, which leaves nothing"
            " of one number: set 'model.embedding_dim' to 2 or more"
        )
    if backbone.name == "gwpfm":
        yield from _part_problems(job, backbone.parts, set(widths.values()))


def _uneven_problems(name: str, widths: dict[str, int | None]) -> Iterator[str]:
    if not widths:
        yield f"model.backbone: {name} multiplies embeddings, and no feature has one"
    if len(set(widths.values())) > 1:
        yield (
            f"model.backbone: {name} multiplies embeddings with each other, so all"
            f" must have one width, got {widths}: set 'model.embedding_dim' and no"
            " 'dim' anywhere"
        )


def _set_problems(job: "Job", number: int, chosen: EmbeddingSet) -> Iterator[str]:
    """What is wrong with a set of embeddings for its experts."""
    widths = {name: chosen.dim or width for name, width in _embedding_widths(job)}
    for expert in chosen.experts:
        name = f"the expert {expert.name} of set {number}"
        if expert.name in ("din", "tin") and not _sequences(job):
            yield f"model.backbone: {name} needs behaviours: no feature is a sequence"
        if expert.name in ("gwpfm", "ipnn"):
            yield from _uneven_problems(name, widths)
        if expert.name == "gwpfm":
            yield from _part_problems(job, expert.parts, set(widths.values()))


def _part_problems(
    job: "Job", parts: list[list[str]] | None, widths: set[int | None]
) -> Iterator[str]:
    groups = [feature.group for feature in job.features.values()]
    count = len(set(groups)) if parts is None else len(parts)
    if any(width is None or width % count for width in widths):
        yield (
            f"model.backbone: the embeddings of gwpfm hold a vector for each of {count}"
            f" parts, so their width must be a multiple of that, got {widths}"
        )
    named = sorted(name for part in parts or [] for name in part)
    if parts is not None and named != sorted(job.features):
        yield (
            "model.backbone.parts: expected each feature once, of"
            f" {sorted(job.features)}, got {named}"
        )


def _embedding_widths(job: "Job") -> Iterator[tuple[str, int | None]]:
    for name, feature in embedded_features(job.features):
        if feature.embedding is not None:
            yield name, feature.embedding.dim or job.model.embedding_dim
    for name, other in job.features.items():
        if isinstance(other, NumericFeature) and other.bucketize:
            yield name, other.bucketize.dim or job.model.embedding_dim
        elif isinstance(other, TimeFeature):
            yield name, other.dim or job.model.embedding_dim
