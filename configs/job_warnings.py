"""What a job may hold, and yet is worth a word: options without effect, and traps."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.durations import duration_ms
from configs.loss_rules import loss_warnings
from configs.observation_rules import observation_warnings
from configs.stream_rules import stream_warnings

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["job_warnings"]


def job_warnings(job: "Job") -> Iterator[str]:
    """Yields a sentence for each accepted option that has no effect, or defeats
    itself."""
    if job.preprocessing.sampling.seed and not job.preprocessing.sampling.active:
        yield "preprocessing.sampling.seed has no effect: every negative is kept"
    yield from _training_warnings(job)
    yield from _sampling_warnings(job)
    yield from _label_warnings(job)
    yield from loss_warnings(job)
    yield from observation_warnings(job)
    yield from stream_warnings(job)
    if job.model.backbone.name == "logistic_regression" and job.model.auxiliary:
        yield "model.auxiliary: embeddings of dim 1 can hardly match anything"


def _training_warnings(job: "Job") -> Iterator[str]:
    split = job.preprocessing.split
    no_validation = (
        split.validation == 0.0 if split.by == "hash" else split.validation is None
    )
    if job.training.early_stopping and no_validation:
        yield "training.early_stopping has no effect: there is no validation split"
    dense = job.training.optimizer.dense
    if dense.weight_decay and dense.name != "adamw":
        yield (
            "training.optimizer.dense.weight_decay has no effect with"
            f" {dense.name!r}: use 'adamw'"
        )
    embeddings = job.training.optimizer.embeddings
    start = type(embeddings).model_fields["initial_accumulator"].default
    accumulates = embeddings.name in ("adagrad", "rowwise_adagrad", "ftrl")
    if not accumulates and embeddings.initial_accumulator != start:
        yield (
            "training.optimizer.embeddings.initial_accumulator has no effect with"
            f" {embeddings.name!r}"
        )
    if embeddings.name == "sgd" and embeddings.epsilon is not None:
        yield "training.optimizer.embeddings.epsilon has no effect with 'sgd'"
    if job.model.backbone.gives_score:
        for key, value in (
            ("precision", job.training.precision != "float32"),
            ("jit_compile", job.training.jit_compile),
        ):
            if value:
                yield (
                    f"training.{key} has no effect with {job.model.backbone.name}: its"
                    " score is a sum, and is kept in float32"
                )
    if job.training.evaluate_every and no_validation:
        yield "training.evaluate_every has no effect: there is no validation split"
    if job.training.logical_devices and job.training.strategy != "mirrored":
        yield "training.logical_devices has no effect without 'strategy: mirrored'"


def _sampling_warnings(job: "Job") -> Iterator[str]:
    sampling = job.preprocessing.sampling
    for name, task in job.model.tasks.items():
        if sampling.active and task.correction == "none" and task.given is None:
            yield (
                f"model.tasks.{name}.correction is 'none' although negatives are"
                " dropped: its predictions will be too high"
            )
        if not sampling.active and task.correction in ("logit_shift", "weights"):
            yield (
                f"model.tasks.{name}.correction has no effect: every negative is kept"
            )
    if sampling.active:
        for name, label in job.labels.items():
            if name != job.sampled_label and label.after != job.sampled_label:
                yield (
                    f"labels.{name}: rows are dropped by {job.sampled_label!r}"
                    f" alone, positives of {name!r} among them"
                )


def _label_warnings(job: "Job") -> Iterator[str]:
    for name, label in job.labels.items():
        if label.window is not None and label.after is not None:
            first = job.labels[label.after].window
            if first and duration_ms(label.window) < duration_ms(first):
                yield (
                    f"labels.{name}: its window is shorter than that of {label.after}"
                )
