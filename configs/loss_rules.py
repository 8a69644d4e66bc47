"""The rules and warnings about a job's losses."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.losses import Loss, context_of
from configs.section import suggestion

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["contexts_of", "loss_problems", "loss_warnings"]


def contexts_of(job: "Job") -> list[str]:
    """Returns the ids within whose rows losses compare, without `batch`; the rules
    allow one at most."""
    found = {
        context_of(loss) for task in job.model.tasks.values() for loss in task.losses
    }
    return sorted(found - {"batch"})


def loss_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong with the losses, and how to mend it."""
    yield from _context_problems(job)
    for name, task in job.model.tasks.items():
        place = f"model.tasks.{name}"
        if task.head == "two_logits" and job.model.backbone.gives_score:
            yield (
                f"{place}.head: {job.model.backbone.name} gives one score, so it has no"
                " 'two_logits': use 'single_logit', or another backbone"
            )
        for loss in task.losses:
            conversion = getattr(loss, "conversion", None)
            if conversion is not None:
                yield from _conversion_problems(
                    job, f"{place}.losses.{loss.name}", name, conversion
                )


def _context_problems(job: "Job") -> Iterator[str]:
    contexts, adjacent = contexts_of(job), job.preprocessing.adjacent
    if len(contexts) > 1:
        yield (
            f"model.tasks: losses compare rows inside {contexts}, expected one context"
            " for all, because rows of one alone can lie side by side: use one of"
            " these, or 'batch'"
        )
    elif contexts and adjacent not in (None, *contexts):
        yield (
            f"preprocessing.adjacent is {adjacent!r}, but losses compare rows inside"
            f" {contexts[0]!r}: name that one, or leave 'adjacent' out"
        )
    for context in {*contexts, *([adjacent] if adjacent else [])}:
        if getattr(job.ids, context) is None:
            place = (
                "model.tasks: a loss has the context"
                if context in contexts
                else "preprocessing.adjacent is"
            )
            yield (
                f"{place} {context!r}, but ids.{context} is absent: name the column of"
                " the impression log that holds it"
            )


def _conversion_problems(
    job: "Job", place: str, task: str, conversion: str
) -> Iterator[str]:
    if conversion not in job.labels:
        yield (
            f"{place}.conversion: no label {conversion!r}."
            f"{suggestion(conversion, job.labels)}"
        )
    elif conversion == task:
        yield (
            f"{place}.conversion is the task's own label {task!r}, expected one that"
            " part of its positives have, such as a purchase after the click"
        )


def loss_warnings(job: "Job") -> Iterator[str]:
    """Yields a sentence for each choice that defeats itself or bends probabilities."""
    for name, task in job.model.tasks.items():
        place = f"model.tasks.{name}"
        if task.head == "two_logits" and all(x.name != "jrc" for x in task.losses):
            yield (
                f"{place}.head: 'two_logits' has no use without the loss jrc, since all"
                " others see the difference of the two"
            )
        if all(_blind_to_a_shift(loss) for loss in task.losses):
            yield (
                f"{place}.losses learn an order at most, since they do not see where"
                " the logits lie: add bce, or use combined_pair"
            )
        for loss in task.losses:
            yield from _proper_warnings(f"{place}.losses.{loss.name}", loss)
    split = job.preprocessing.split
    for context in contexts_of(job):
        if split.by == "hash" and split.key != context:
            yield (
                f"preprocessing.split.key is {split.key!r}, so the rows of a {context}"
                f" fall into several splits, and losses inside a {context} see only a"
                f" part: use 'key: {context}'"
            )


def _blind_to_a_shift(loss: Loss) -> bool:
    """Whether a loss is the same if a constant is added to all logits."""
    if loss.name in ("combined_pair", "combined_list", "combined_contrastive"):
        return loss.alpha == 0.0
    return loss.name == "ranknet"


def _proper_warnings(place: str, loss: Loss) -> Iterator[str]:
    """Warns of losses that the true probabilities do not minimise."""
    reason = None
    if loss.name in ("focal", "focal_balanced") and loss.gamma > 0.0:
        reason = (
            "its weights pull probabilities towards 1/2, and no correction of"
            " down-sampling is exact for it"
        )
    elif loss.name == "combined_list" and loss.alpha < 1.0:
        reason = (
            "its listwise part is least where logits are log p, not log odds: rcr is"
            " the one that agrees with bce"
        )
    elif loss.name == "pwiser" and loss.strength > 0.0:
        reason = "its margins push the probabilities of converted rows up"
    if reason is not None:
        yield f"{place} is not a proper loss: {reason}. Watch the calibration"
    beta = getattr(loss, "beta", 1.0)
    if beta != 1.0:
        yield (
            f"{place}.beta is {beta:g}: predicted odds will be about {beta:g} times the"
            " true ones (it simulates sparser feedback)"
        )
