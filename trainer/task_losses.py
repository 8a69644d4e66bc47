"""The losses of one task: what each is given of a batch, and its value.

Legend: b rows of a replica, B rows of the global batch, H width of the hidden vector.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from configs.errors import JobError
from configs.job import Job
from configs.layout import (
    IDS,
    LABEL_KINDS,
    LABELS,
    NEGATIVE_KEEP_RATE,
    EventKind,
    layout_of,
)
from configs.losses import Loss as Config
from configs.losses import context_of
from trainer.collectives import alone, gather_all, global_sum
from trainer.fake_negatives import fake_negative_rows
from trainer.losses.base import Loss, mean_loss, rows_left
from trainer.losses.registry import build_loss
from trainer.losses.segments import contexts_with_pairs
from trainer.observations import Observed, observed

__all__ = ["TaskLosses"]

Columns = Mapping[str, tf.Tensor]
"""What losses may take of each row, by name:

outputs         [b] or [b, 2] of the head, as seen in the sample
true_outputs    the same without the shift, of a job that shifts logits
labels          [b]
weights         [b], of losses that see `outputs`
true_weights    [b], of losses that see `true_outputs`
mask            bool [b]
contexts        int64 [b]
hidden          [b, H]
conversions     [b]
"""


@dataclass(frozen=True, kw_only=True)
class _Term:
    config: Config
    loss: Loss

    @property
    def inside_contexts(self) -> bool:
        return context_of(self.config) != "batch"


class TaskLosses:
    """Gives the losses of a task.

    Down-sampling is undone before the losses, in one of two ways. With `logit_shift`
    they see the outputs as they are in the sample, z - ln r(x). With `weights` they see
    the true ones, and rows whose sampled label is 0 weigh 1/r. A loss with
    `true_logits` takes the second way wherever others take the first.

    Where labels come late an impression has several rows, of which the task takes those
    that its `observations` say; with `fnw` each as a negative, a positive, or both
    (`trainer.fake_negatives`).

    Losses of rows that see each other get the rows of all replicas, once for the task,
    and of their result the own rows count.

    Args:
        job: the job.
        task: name of the task.
        head: of the task.
    """

    def __init__(self, job: Job, task: str, head: keras.layers.Layer) -> None:
        section, layout = job.model.tasks[task], layout_of(job)
        self._terms = {
            config.name: _Term(config=config, loss=build_loss(config))
            for config in section.losses
        }
        # Where each impression has one row the losses need no mask.
        several = job.late_labels or section.observations != "settled"
        self._observations = section.observations if several else None
        for name, term in self._terms.items():
            if term.loss.two_logits and section.head != "two_logits":
                raise JobError(
                    f"model.tasks.{task}: the loss {name} takes two logits: set 'head:"
                    " two_logits'"
                )
            takes_more = term.loss.extras or term.loss.true_logits
            if self._observations == "fnw" and takes_more:
                raise JobError(
                    f"model.tasks.{task}: 'observations: fnw' shows losses a row twice,"
                    f" as a negative and as a positive, which {name} cannot take:"
                    " use 'settled', or another loss"
                )
        self._head = head
        self._correction = job.correction(task)
        self._label = layout.labels.index(task)
        self._sampled = layout.labels.index(job.sampled_label)
        self._given: int | None = None
        if section.given is not None:
            self._given = layout.labels.index(section.given)
        contexts = [t for t in self._terms.values() if t.inside_contexts]
        self._context = layout.ids.index(str(job.context)) if contexts else None
        conversions = [getattr(loss, "conversion", None) for loss in section.losses]
        self._conversion = next(
            (layout.labels.index(label) for label in conversions if label), None
        )

    def __call__(
        self, outputs: tf.Tensor, hidden: tf.Tensor, batch: Columns
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns this replica's shares of the losses, and of what else is logged.

        Args:
            outputs: of the task's head, [b] or [b, 2].
            hidden: [b, H], which the head got.
            batch: the replica's rows, with the keys of `configs.layout`.

        Returns:
            Two mappings to float32 scalars whose sums over the replicas are the values:
            the losses by name, and `contexts_with_pairs`, the share of contexts with a
            positive and a negative row, where losses stay inside contexts.
        """
        own = self._columns(outputs, hidden, batch)
        gathered, share = own, None
        compared = [t.loss for t in self._terms.values() if t.loss.in_batch]
        if compared:
            needed = self._needed(own, compared)
            columns, share = gather_all([own[name] for name in needed])
            gathered = dict(zip(needed, columns, strict=True))
            count = _rows(gathered)
        else:
            count = global_sum(_rows(own))
        losses: dict[str, tf.Tensor] = {}
        for name, term in self._terms.items():
            if not term.loss.in_batch or share is None:
                rows = self._per_example(term, own)
            elif term.loss.takes_own:
                # A loss that knows that all rows are its own may do with less.
                own_rows = None if alone() else share
                rows = self._per_example(term, gathered, own=own_rows)
            else:
                rows = share.of(self._per_example(term, gathered))
            losses[name] = mean_loss(rows, count)
        return losses, self._diagnostics(own, gathered, count)

    def _columns(
        self, outputs: tf.Tensor, hidden: tf.Tensor, batch: Columns
    ) -> dict[str, tf.Tensor]:
        labels, rate = batch[LABELS], batch[NEGATIVE_KEEP_RATE]
        columns = {"outputs": outputs, "labels": labels[:, self._label]}
        weights = tf.where(labels[:, self._sampled] > 0.5, 1.0, 1.0 / rate)
        if self._correction == "weights":
            columns["weights"] = weights
        elif self._correction == "logit_shift":
            columns["outputs"] = self._head.sampled(outputs, tf.math.log(rate))
            columns["true_outputs"] = outputs
            columns["true_weights"] = weights
        if self._given is not None and self._observations is None:
            columns["mask"] = labels[:, self._given] > 0.5
        if self._context is not None:
            columns["contexts"] = batch[IDS][:, self._context]
        if self._conversion is not None:
            columns["conversions"] = labels[:, self._conversion]
        columns["hidden"] = hidden
        if self._observations is None:
            return columns
        return self._observed(columns, outputs, batch)

    def _observed(
        self, columns: dict[str, tf.Tensor], outputs: tf.Tensor, batch: Columns
    ) -> dict[str, tf.Tensor]:
        """Returns the columns of the rows that the task takes where labels come late:
        with a mask, or each row twice."""
        labels = batch[LABELS]
        settled = tf.fill(tf.shape(labels), tf.constant(EventKind.SETTLED, tf.int64))
        kinds = batch.get(LABEL_KINDS, settled)
        rows = observed(labels, kinds, label=self._label, given=self._given)
        if self._observations != "fnw":
            return {**columns, "mask": _taken(rows, str(self._observations))}
        taken = {"outputs", "labels", "weights", "contexts"}
        return fake_negative_rows(
            {name: value for name, value in columns.items() if name in taken},
            rows,
            self._head.logit(outputs),
            batch[NEGATIVE_KEEP_RATE] if self._correction == "logit_shift" else None,
        )

    def _needed(self, columns: Columns, losses: list[Loss]) -> list[str]:
        """Returns the columns that losses take, to gather no others."""
        shifted = "true_outputs" in columns
        true = shifted and any(loss.true_logits for loss in losses)
        sampled = not shifted or not all(loss.true_logits for loss in losses)
        wanted = {
            "outputs": sampled,
            "true_outputs": true,
            "true_weights": true,
            "hidden": any("hidden" in loss.extras for loss in losses),
        }
        return [name for name in columns if wanted.get(name, True)]

    def _per_example(self, term: _Term, columns: Columns, **keywords: Any) -> tf.Tensor:
        loss, prefix = term.loss, ""
        if loss.true_logits and "true_outputs" in columns:
            prefix = "true_"
        outputs = columns[f"{prefix}outputs"]
        extras = {name: columns[name] for name in loss.extras}
        return loss.per_example(
            outputs if loss.two_logits else self._head.logit(outputs),
            columns["labels"],
            weights=columns.get(f"{prefix}weights"),
            mask=columns.get("mask"),
            contexts=columns["contexts"] if term.inside_contexts else None,
            **extras,
            **keywords,
        )

    def _diagnostics(
        self, own: Columns, gathered: Columns, count: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        if self._context is None:
            return {}
        mask = gathered.get("mask")
        labels = gathered["labels"]
        weights = tf.ones_like(labels) if mask is None else tf.cast(mask, labels.dtype)
        value = contexts_with_pairs(labels, weights, gathered["contexts"])
        # Every replica knows the value, and gives a part of it: shares are added up.
        return {"contexts_with_pairs": value * tf.math.divide_no_nan(_rows(own), count)}


def _taken(rows: Observed, observations: str) -> tf.Tensor:
    if observations == "first_and_late":
        return rows.first | rows.late
    return rows.first if observations == "first" else rows.settled


def _rows(columns: Columns) -> tf.Tensor:
    return rows_left(columns["labels"], columns.get("mask"))
