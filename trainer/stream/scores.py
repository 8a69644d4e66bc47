"""What a window says of models that have not learned from it yet."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import CheckpointError
from configs.job import Job
from configs.layout import (
    CATEGORICAL,
    EVENT_KIND,
    EVENT_TIME,
    IDS,
    EventKind,
    layout_of,
)
from trainer.inputs.examples import Batch
from trainer.metrics.likelihood import Likelihood
from trainer.scoring import Scorer, Scores, difference_errors
from trainer.stream.item_ages import ItemAges
from trainer.stream.options import stream_options
from trainer.stream.served import ServedModel
from trainer.stream.state import Sums

__all__ = ["WindowScores", "added", "progressive_metrics"]

TOP_VALUES = 5
"""Values of a feature that have metrics of their own: those with most rows in the
window, of equal ones the lower fingerprints."""

KIND_SLICE = "event_kind"

AGE_SLICE = "item_age"

Rows = Mapping[str, NDArray[Any]]


class WindowScores:
    """Scores windows with the model that learns, and with the one that is served.

    Args:
        job: the job.
        scorer: of the model that learns.
        served: the model that is served.
        ages: of items, by which rows are told apart.
    """

    def __init__(
        self, job: Job, scorer: Scorer, served: ServedModel, ages: ItemAges
    ) -> None:
        self._job = job
        self._scorer = scorer
        self._served = served
        layout = layout_of(job)
        names, slices = layout.categorical, stream_options(job).slices
        self._slices = {name: names.index(name) for name in slices}
        self._item = layout.ids.index("item") if "item" in layout.ids else None
        self._ages = ages

    def of(
        self, batches: Sequence[tuple[Batch, ...]]
    ) -> tuple[dict[str, Any], dict[str, Likelihood]]:
        """Returns the figures of a window as the journal has them, and the sums behind
        those of the model that learns, by served output.

        Raises:
            CheckpointError: if the model that learns predicts NaN.
        """
        logits, columns = _scored(self._scorer, batches)
        scores = self._scores(logits, columns)
        values: dict[str, Any] = {"tasks": scores.result(), "served": None}
        slices = {
            name: {
                value: self._scores(_rows(logits, rows), _rows(columns, rows)).result()
                for value, rows in parts.items()
            }
            for name, parts in self._parts(batches).items()
        }
        if slices:
            values["slices"] = slices
        served = self._served.current()
        if served is not None:
            which, scorer = served
            values["served"] = {
                "version": which.version,
                "step": which.step,
                "tasks": self._beside(_scored(scorer, batches)[0], logits, columns),
            }
        return values, scores.likelihoods()

    def _beside(self, served: Rows, logits: Rows, columns: Rows) -> dict[str, Any]:
        """Returns the figures of the served model, and how sure its distance to the
        model that learns is; none if it predicts NaN, which is no fault of the other.
        """
        try:
            tasks = self._scores(served, columns).result()
        except CheckpointError:
            return {}
        errors = difference_errors(
            self._job,
            logits,
            served,
            columns,
            sampled=self._job.preprocessing.sampling.active,
        )
        return {
            name: {**tasks[name], "log_loss_difference_error": error}
            for name, error in errors.items()
        }

    def _scores(self, logits: Rows, columns: Rows) -> Scores:
        sampled = self._job.preprocessing.sampling.active
        scores = Scores(self._job, sampled=sampled, ranked=True)
        scores.update(logits, columns)
        return scores

    def _parts(
        self, batches: Sequence[tuple[Batch, ...]]
    ) -> dict[str, dict[str, NDArray[np.bool_]]]:
        """Returns which rows belong to each value, by slice."""
        kinds = _column(batches, EVENT_KIND)
        parts: dict[str, dict[str, NDArray[np.bool_]]] = {}
        present = np.unique(kinds)
        if len(present) > 1:
            names = {int(kind): kind.name.lower() for kind in EventKind}
            parts[KIND_SLICE] = {
                names.get(int(kind), str(kind)): kinds == kind for kind in present
            }
        if self._item is not None:
            items = _column(batches, IDS)[:, self._item]
            ages = self._ages.parts(items, _column(batches, EVENT_TIME))
            parts |= {AGE_SLICE: ages} if ages else {}
        if self._slices:
            categorical = _column(batches, CATEGORICAL)
            for name, place in self._slices.items():
                column = categorical[:, place]
                values, counts = np.unique(column, return_counts=True)
                most = np.lexsort((values, -counts))[:TOP_VALUES]
                parts[name] = {str(values[k]): column == values[k] for k in most}
        return parts


def added(
    sums: Mapping[str, Sums], window: Mapping[str, Likelihood]
) -> dict[str, Sums]:
    """Returns the sums with those of a window added."""
    return {
        name: Sums(
            **{
                key: getattr(sums.get(name, Sums()), key) + value
                for key, value in likelihood.sums().items()
            }
        )
        for name, likelihood in window.items()
    }


def progressive_metrics(sums: Mapping[str, Sums]) -> dict[str, dict[str, float | None]]:
    """Returns what the sums say: of all rows of the stream, each as it was predicted
    before it was learned from."""
    return {
        name: {
            "rows": one.rows,
            "log_loss": one.loss / one.weight if one.weight else None,
            "calibration": one.predicted / one.observed if one.observed else None,
        }
        for name, one in sums.items()
    }


def _scored(scorer: Scorer, batches: Sequence[tuple[Batch, ...]]) -> tuple[Rows, Rows]:
    parts = [scorer(shares) for shares in batches]
    return _joined([p[0] for p in parts]), _joined([p[1] for p in parts])


def _joined(parts: Sequence[Rows]) -> Rows:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows(columns: Rows, rows: NDArray[np.bool_]) -> Rows:
    return {name: values[rows] for name, values in columns.items()}


def _column(batches: Sequence[tuple[Batch, ...]], key: str) -> NDArray[Any]:
    return np.concatenate([part[key].numpy() for shares in batches for part in shares])
