"""Scores a split with the inference model, and beside it the truth where known."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from configs.errors import CheckpointError
from configs.job import Job
from configs.layout import IDS, LABELS, NEGATIVE_KEEP_RATE, TRUTH, layout_of
from trainer.inference import InferenceModel
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles
from trainer.metrics.task import TaskMetrics
from trainer.shares import own_share

__all__ = ["Scorer", "score_split"]

COMPARED = ("auc", "gauc", "log_loss", "normalized_entropy")
"""Metrics in which the model's distance to the truth is given."""

_SMALLEST = 1e-12
"""Probabilities of the truth are moved away from 0 and 1 by this."""


class Scorer:
    """The inference model as one compiled function, on all devices.

    Args:
        model: built.
        element_spec: of the shares of a batch, one per replica.
    """

    def __init__(
        self,
        model: InferenceModel,
        element_spec: tuple[dict[str, tf.TensorSpec], ...],
    ) -> None:
        self._model = model
        self._run = tf.function(
            self._score, input_signature=[element_spec], autograph=False
        )

    def __call__(self, shares: tuple[Batch, ...]) -> dict[str, NDArray[np.float32]]:
        """Returns the true logits of the batch, [B] by task."""
        strategy = tf.distribute.get_strategy()
        return {
            task: np.concatenate(
                [x.numpy() for x in strategy.experimental_local_results(logits)]
            )
            for task, logits in self._run(shares).items()
        }

    def _score(self, shares: tuple[Batch, ...]) -> Any:
        def on_replica(shares: tuple[Batch, ...]) -> dict[str, tf.Tensor]:
            logits: dict[str, tf.Tensor] = self._model(
                own_share(shares), training=False
            )
            return logits

        return tf.distribute.get_strategy().run(on_replica, args=(shares,))


def score_split(scorer: Scorer, source: ExampleFiles, job: Job) -> dict[str, Any]:
    """Returns the metrics of all tasks over a split.

    A task with `given` is scored on the rows where that label is 1. In a split whose
    negatives were dropped, a row weighs 1 if the sampled label is 1, else 1/r.

    Returns:
        By task: the entries of `TaskMetrics.result`; `truth`, the same of the true
        probabilities, and `distance`, model minus truth, both None with `truth_reason`
        where the truth is not known of all rows.

    Raises:
        CheckpointError: if the model predicts NaN.
        DataError: if the examples are damaged.
    """
    layout = layout_of(job)
    grouped = "user" in layout.ids
    models = {task: TaskMetrics(grouped=grouped) for task in job.model.tasks}
    truths = {task: TaskMetrics(grouped=grouped) for task in job.model.tasks}
    for shares in source.batches():
        logits = scorer(shares)
        labels, truth = _column(shares, LABELS), _column(shares, TRUTH)
        weights = _weights(labels, shares, source, job)
        ids = _column(shares, IDS)
        users = ids[:, layout.ids.index("user")] if grouped else None
        for task, section in job.model.tasks.items():
            column = layout.labels.index(task)
            chosen = np.ones(len(labels), bool)
            if section.given is not None:
                chosen = labels[:, layout.labels.index(section.given)] > 0.5
            _update(
                models[task], logits[task], labels[:, column], weights, users, chosen
            )
            true_logits = _logit(truth[:, column])
            known = chosen & ~np.isnan(true_logits)
            _update(truths[task], true_logits, labels[:, column], weights, users, known)
    return {task: _result(models[task], truths[task]) for task in job.model.tasks}


def _update(
    metrics: TaskMetrics,
    logits: NDArray[Any],
    labels: NDArray[np.float32],
    weights: NDArray[np.float64],
    users: NDArray[np.int64] | None,
    chosen: NDArray[np.bool_],
) -> None:
    if not chosen.any():
        return
    try:
        metrics.update(
            logits[chosen],
            labels[chosen],
            weights[chosen],
            None if users is None else users[chosen],
        )
    except FloatingPointError as error:
        raise CheckpointError(
            f"{error}: the weights are not finite, or a feature is not. Lower the"
            " learning rates, or take an earlier checkpoint"
        ) from error


def _result(model: TaskMetrics, truth: TaskMetrics) -> dict[str, Any]:
    result = model.result()
    if truth.rows != model.rows or not model.rows:
        reason = f"the true probability is known of {truth.rows} of {model.rows} rows"
        return {**result, "truth": None, "distance": None, "truth_reason": reason}
    true = truth.result()
    distance = {
        name: result[name] - true[name]
        for name in COMPARED
        if result.get(name) is not None and true.get(name) is not None
    }
    return {**result, "truth": true, "distance": distance}


def _weights(
    labels: NDArray[np.float32],
    shares: Iterable[Batch],
    source: ExampleFiles,
    job: Job,
) -> NDArray[np.float64]:
    if not source.split.sampled:
        return np.ones(len(labels))
    rates = _column(shares, NEGATIVE_KEEP_RATE).astype(np.float64)
    positive = labels[:, list(job.labels).index(job.sampled_label)] > 0.5
    return np.where(positive, 1.0, 1.0 / rates)


def _column(shares: Iterable[Batch], key: str) -> NDArray[Any]:
    return np.concatenate([share[key].numpy() for share in shares])


def _logit(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    p = np.clip(probability.astype(np.float64), _SMALLEST, 1.0 - _SMALLEST)
    logits: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return logits


def value_for(metrics: dict[str, Any], name: str) -> float | None:
    """Returns a metric of one task, or None if it has no finite value."""
    value = metrics.get(name)
    return value if value is not None and math.isfinite(value) else None
