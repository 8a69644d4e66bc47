"""Scores a split with the inference model, and beside it the truth where known."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from configs.errors import CheckpointError
from configs.job import Job
from configs.layout import (
    IDS,
    LABEL_KINDS,
    LABELS,
    NEGATIVE_KEEP_RATE,
    TRUTH,
    layout_of,
)
from trainer.collectives import gather_all
from trainer.inference import InferenceModel
from trainer.inputs.examples import Batch
from trainer.inputs.files import ExampleFiles
from trainer.metrics.likelihood import Likelihood
from trainer.metrics.task import TaskMetrics
from trainer.observations import observed
from trainer.sampling_weights import sampling_weights
from trainer.shares import own_share

__all__ = ["Scorer", "Scores", "difference_errors", "score_split"]

COMPARED = ("auc", "gauc", "log_loss", "normalized_entropy")
"""Metrics in which the model's distance to the truth is given."""

_COLUMNS = (LABELS, LABEL_KINDS, TRUTH, IDS, NEGATIVE_KEEP_RATE)

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

    def __call__(
        self, shares: tuple[Batch, ...]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[Any]]]:
        """Returns of the rows of a batch, those of all workers, the true logits [B] by
        task, and the columns that metrics need by layout key."""
        local = tf.distribute.get_strategy().experimental_local_results
        logits, columns = (
            {name: _joined(local(values)) for name, values in part.items()}
            for part in self._run(shares)
        )
        return logits, columns

    def _score(self, shares: tuple[Batch, ...]) -> Any:
        return tf.distribute.get_strategy().run(self._on_replica, args=(shares,))

    def _on_replica(self, shares: tuple[Batch, ...]) -> tuple[Batch, Batch]:
        batch = own_share(shares)
        logits: Batch = self._model(batch, training=False)
        columns = {key: batch[key] for key in _COLUMNS if key in batch}
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas == len(shares):
            return logits, columns
        # Other workers have rows too, and all workers are to see the same metrics.
        rows, _ = gather_all([*logits.values(), *columns.values()])
        if len(shares) > 1:
            # All replicas of a worker have all rows now: one is enough.
            first = tf.distribute.get_replica_context().replica_id_in_sync_group
            kept = tf.cast(tf.equal(first % len(shares), 0), tf.int32)
            rows = [values[: tf.shape(values)[0] * kept] for values in rows]
        return (
            dict(zip(logits, rows[: len(logits)], strict=True)),
            dict(zip(columns, rows[len(logits) :], strict=True)),
        )


def score_split(scorer: Scorer, source: ExampleFiles, job: Job) -> dict[str, Any]:
    """Returns the metrics of all tasks over a split; see `Scores`.

    Raises:
        CheckpointError: if the model predicts NaN.
        DataError: if the examples are damaged.
    """
    scores = Scores(job, sampled=source.split.sampled)
    for shares in source.batches():
        scores.update(*scorer(shares))
    return scores.result()


class Scores:
    """Adds up what scored rows say of a model.

    A task with `given` is scored on the rows where that label is 1, and so is the
    conditional of a task over the entire space. Where labels come late it is scored on
    the row of each impression from which on its label is known for good. Among rows
    whose negatives were dropped, a row weighs 1 if the sampled label is 1, else 1/r.

    Args:
        job: the job.
        sampled: whether negatives may have been dropped.
        ranked: whether the AUC is exact, from all rows, instead of a histogram: for
            few rows.
    """

    def __init__(self, job: Job, *, sampled: bool, ranked: bool = False) -> None:
        layout = layout_of(job)
        self._job = job
        self._sampled = sampled
        self._user = layout.ids.index("user") if "user" in layout.ids else None
        self._predictions = list(_predictions(job))
        names = [prediction.name for prediction in self._predictions]
        grouped = self._user is not None
        self._models = {n: TaskMetrics(grouped=grouped, ranked=ranked) for n in names}
        self._truths = {n: TaskMetrics(grouped=grouped, ranked=ranked) for n in names}

    def update(
        self,
        logits: Mapping[str, NDArray[np.float32]],
        columns: Mapping[str, NDArray[Any]],
    ) -> None:
        """Adds rows, as a `Scorer` returns them.

        Raises:
            CheckpointError: if a prediction is NaN.
        """
        labels, truth = columns[LABELS], columns[TRUTH]
        weights = _weights(
            labels, columns[NEGATIVE_KEEP_RATE], self._job, sampled=self._sampled
        )
        users = None if self._user is None else columns[IDS][:, self._user]
        for p in self._predictions:
            column, chosen = labels[:, p.label], _chosen(p, columns)
            _update(
                self._models[p.name], logits[p.name], column, weights, users, chosen
            )
            true_logits = _logit(np.prod(truth[:, p.factors], axis=1))
            known = chosen & ~np.isnan(true_logits)
            _update(self._truths[p.name], true_logits, column, weights, users, known)

    def likelihoods(self) -> dict[str, Likelihood]:
        """Returns the sums behind log loss and calibration, by served output."""
        return {name: metrics.likelihood for name, metrics in self._models.items()}

    def result(self) -> dict[str, Any]:
        """Returns by served output the entries of `TaskMetrics.result`; `truth`, the
        same of the true probabilities, and `distance`, model minus truth, both None
        with `truth_reason` where the truth is not known of all rows."""
        return {n: _result(m, self._truths[n]) for n, m in self._models.items()}


def difference_errors(
    job: Job,
    logits: Mapping[str, NDArray[np.float32]],
    others: Mapping[str, NDArray[np.float32]],
    columns: Mapping[str, NDArray[Any]],
    *,
    sampled: bool,
) -> dict[str, float | None]:
    """Returns how sure the difference of two models' log losses on the same rows is.

    Models that are alike err on the same rows, so the difference is known far better
    than either log loss.

    Args:
        job: the job.
        logits: of one model, [B] by task.
        others: of the other.
        columns: of the rows, as a `Scorer` returns them.
        sampled: whether negatives may have been dropped.

    Returns:
        By served output the standard error of the weighted mean of the rows'
        differences, in nats; None without rows, or if a loss is not finite.
    """
    labels = columns[LABELS]
    weights = _weights(labels, columns[NEGATIVE_KEEP_RATE], job, sampled=sampled)
    errors: dict[str, float | None] = {}
    for p in _predictions(job):
        y = labels[:, p.label].astype(np.float64)
        z, other = (each[p.name].astype(np.float64) for each in (logits, others))
        with np.errstate(invalid="ignore"):  # infinite logits give no error below
            gaps = np.logaddexp(0.0, z) - np.logaddexp(0.0, other) - y * (z - other)
        w = weights * _chosen(p, columns)
        gaps, w = gaps[w > 0], w[w > 0]
        errors[p.name] = None
        if len(w) and np.isfinite(gaps).all():
            apart = w * (gaps - np.average(gaps, weights=w))
            errors[p.name] = float(np.sqrt(np.dot(apart, apart)) / w.sum())
    return errors


@dataclass(frozen=True, kw_only=True)
class _Prediction:
    """An output of the model, and the columns of labels that it is compared with: its
    own, the one that must be 1, and those whose truths multiply to its truth."""

    name: str
    label: int
    given: int | None
    factors: list[int]


def _predictions(job: Job) -> Iterator[_Prediction]:
    column = {label: number for number, label in enumerate(layout_of(job).labels)}
    for task, section in job.model.tasks.items():
        yield _Prediction(
            name=task,
            label=column[task],
            given=None if section.given is None else column[section.given],
            factors=[column[factor] for factor in job.model.factors(task)],
        )
    for task, name in job.model.conditionals.items():
        yield _Prediction(
            name=name,
            label=column[task],
            given=column[str(job.model.tasks[task].entire_space)],
            factors=[column[task]],
        )


def _chosen(
    prediction: _Prediction, columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.bool_]:
    """Returns the rows that an output is compared with."""
    labels, given = columns[LABELS], prediction.given
    chosen: NDArray[np.bool_] = np.ones(len(labels), np.bool_)
    if LABEL_KINDS in columns:
        kinds = columns[LABEL_KINDS]
        rows = observed(labels, kinds, label=prediction.label, given=given)
        chosen = np.asarray(rows.settled)
    elif given is not None:
        chosen = labels[:, given] > 0.5
    return chosen


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
    keep_rates: NDArray[np.float32],
    job: Job,
    *,
    sampled: bool,
) -> NDArray[np.float64]:
    if not sampled:
        return np.ones(len(labels))
    return sampling_weights(labels, keep_rates, job)


def _joined(parts: Sequence[tf.Tensor]) -> NDArray[Any]:
    return np.concatenate([part.numpy() for part in parts])


def _logit(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    p = np.clip(probability.astype(np.float64), _SMALLEST, 1.0 - _SMALLEST)
    logits: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return logits


def value_for(metrics: dict[str, Any], name: str) -> float | None:
    """Returns a metric of one task, or None if it has no finite value."""
    value = metrics.get(name)
    return value if value is not None and math.isfinite(value) else None
