"""Turns the trials of one data set into a table and two plots."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.experiment import spread
from benchmarks.quality.losses.intervals import (
    auc_and_influence,
    log_losses,
    paired_bootstrap,
)
from benchmarks.quality.losses.study import Study

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["write_report"]

Array = NDArray[Any]
_BASELINE = "bce"
_SMALLEST = 1e-12


def write_report(study: Study) -> str:
    """Writes table.md, bce.png and gradients.png, and returns the table."""
    test = study.split("test")
    labels = test.labels.astype(np.float64)
    weights = np.where(labels > 0.5, study.beta, 1.0)
    scored = {x: _Scored(study.folder, x, labels, weights) for x in study.losses}
    lines = [f"{study.title}: {len(labels):,} test rows, {int(labels.sum()):,} clicks."]
    best = None
    if not np.isnan(test.truth).any():
        best = _best(test.truth.astype(np.float64), labels)
        lines[0] += f" Best reachable: AUC {best[0]:.5f}, log loss {best[1]:.6f}."
    lines += [
        "",
        "| loss | AUC | to the best | against bce (95%) | log loss | to the best"
        " | against bce (95%) | predicted / observed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    intervals = _intervals(scored)
    for loss, result in scored.items():
        distance = ("", "")
        if best is not None:
            distance = (
                f"{np.mean(result.aucs) - best[0]:+.5f}",
                f"{np.mean(result.means) - best[1]:+.6f}",
            )
        lines.append(
            f"| {loss} | {spread(result.aucs, 5)} | {distance[0]}"
            f" | {intervals[loss][0]}"
            f" | {spread(result.means, 6)} | {distance[1]} | {intervals[loss][1]}"
            f" | {spread(result.calibration, 4)} |"
        )
    text = "\n".join(lines) + "\n"
    (study.folder / "table.md").write_text(text)
    _draw(study.folder, study.losses)
    return text


def _best(truth: Array, labels: Array) -> tuple[float, float]:
    """Returns AUC and log loss of the true probabilities."""
    truth = np.clip(truth, _SMALLEST, 1.0 - _SMALLEST)
    auc, _ = auc_and_influence(truth, labels)
    logits = np.log(truth) - np.log1p(-truth)
    return auc, float(log_losses(logits, labels).mean())


class _Scored:
    """A loss on the test rows: figures of each seed, and rows averaged over seeds.

    Log losses and calibration divide by the sum of the weights.
    """

    def __init__(self, folder: Path, loss: str, labels: Array, weights: Array) -> None:
        self.aucs: list[float] = []
        self.means: list[float] = []
        self.calibration: list[float] = []
        influences, row_losses = [], []
        weights = weights / weights.mean()
        for path in sorted(folder.glob(f"{loss}-[0-9].npy")):
            logits = np.load(path).astype(np.float64)
            auc, influence = auc_and_influence(logits, labels)
            losses = weights * log_losses(logits, labels)
            self.aucs.append(auc)
            self.means.append(float(losses.mean()))
            predicted = weights / (1.0 + np.exp(-logits))
            self.calibration.append(float(predicted.sum() / (weights * labels).sum()))
            influences.append(influence.astype(np.float32))
            row_losses.append(losses.astype(np.float32))
        self.influence = np.mean(influences, axis=0)
        self.row_losses = np.mean(row_losses, axis=0)


def _intervals(scored: dict[str, _Scored]) -> dict[str, tuple[str, str]]:
    """Returns differences of AUC and log loss against the baseline with 95%
    intervals over test rows, of means over seeds."""
    base = scored[_BASELINE]
    others = [loss for loss in scored if loss != _BASELINE]
    values = [scored[loss].influence - base.influence for loss in others]
    values += [scored[loss].row_losses - base.row_losses for loss in others]
    means = paired_bootstrap(values)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    texts = {_BASELINE: ("", "")}
    for k, loss in enumerate(others):
        gain = np.mean(scored[loss].aucs) - np.mean(base.aucs)
        change = np.mean(scored[loss].means) - np.mean(base.means)
        n = k + len(others)
        texts[loss] = (
            f"{gain:+.5f} ({gain + low[k]:+.5f} to {gain + high[k]:+.5f})",
            f"{change:+.6f} ({low[n]:+.6f} to {high[n]:+.6f})",
        )
    return texts


def _draw(folder: Path, losses: Sequence[str]) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), sharey=True)
    for loss in losses:
        steps, curves = _curves(folder, loss)
        for axis, name in zip(axes, ("training_bce", "unseen_bce"), strict=True):
            axis.plot(steps, _smooth(curves[name]), label=loss)
            axis.set(xlabel="step", title=name.replace("_bce", " rows"))
            if loss == _BASELINE:  # Losses that are not calibrated may lie above.
                axis.set_ylim(*_limits(curves["training_bce"], curves["unseen_bce"]))
    axes[0].set_ylabel("cross-entropy")
    axes[1].legend(fontsize="small")
    _save(figure, folder / "bce.png")
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for loss in losses:
        steps, curves = _curves(folder, loss)
        two = bool(curves["no_click_gradient"].size)
        name = f"{loss}, logit of a click" if two else loss
        axis.plot(steps, curves["negative_gradient"], label=name)
        if two:
            axis.plot(
                steps, curves["no_click_gradient"], label=f"{loss}, logit of no click"
            )
    axis.set(
        yscale="log",
        ylim=(1e-8, None),
        xlabel="step",
        ylabel="mean |d loss / d logit| of negative rows",
    )
    axis.legend(fontsize="small")
    _save(figure, folder / "gradients.png")


def _curves(folder: Path, loss: str) -> tuple[Array, dict[str, Array]]:
    """Returns steps and the curves of a loss, averaged over seeds."""
    runs = [
        json.loads(p.read_text()) for p in sorted(folder.glob(f"{loss}-[0-9].json"))
    ]
    names = [k for k, v in runs[0].items() if isinstance(v, list) and k != "step"]
    return np.array(runs[0]["step"]), {
        name: np.mean([run[name] for run in runs], axis=0) for name in names
    }


def _limits(*curves: Array) -> tuple[float, float]:
    values = np.concatenate([_smooth(curve) for curve in curves])
    return 0.98 * float(values.min()), 1.04 * float(values.max())


def _smooth(values: Array, width: int = 5) -> Array:
    kernel = np.ones(width) / width
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, kernel, mode="valid")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
