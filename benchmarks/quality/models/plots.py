"""The plots of the study on Globo's clicks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.quality.models.cosines import BINS
from benchmarks.quality.models.globo import (
    BACKBONES,
    KEEP_RATES,
    WEIGHTS,
    Variant,
    chosen_weights,
    task_variants,
)
from benchmarks.quality.models.store import Report, Store

mpl.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["draw_cosines", "draw_keep", "draw_weights"]

_SHOWN = "din"


def draw_weights(store: Store, path: Path) -> None:
    """Test AUC over the weight of each task alone: mean and deviation of seeds."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    base = _aucs(store, Variant("din"))
    for axis, kind in zip(axes, ("uim", "nip"), strict=True):
        runs = {w: _aucs(store, Variant("din", **{kind: w})) for w in WEIGHTS}
        _errors(axis, {w: aucs for w, aucs in runs.items() if aucs}, kind.upper())
        if base:
            mean, deviation = _mean_and_deviation(base)
            axis.axhline(mean, color="gray", linestyle="--", label="neither")
            axis.axhspan(mean - deviation, mean + deviation, color="gray", alpha=0.15)
        axis.set(xscale="log", xlabel=f"weight of {kind.upper()}")
        axis.legend(fontsize="small")
    axes[0].set_ylabel("test AUC of DIN")
    _save(figure, path)


def draw_cosines(store: Store, path: Path) -> None:
    """Histograms of DIN's clicked rows, and the means of all backbones."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.4))
    weights = chosen_weights(store)
    middles = (BINS[1:] + BINS[:-1]) / 2.0
    for tasks, variant in task_variants(_SHOWN, *weights).items():
        runs = store.seeds(variant.name)
        if runs:
            counts = np.sum([r["cosine"]["clicked"]["histogram"] for r in runs], axis=0)
            axes[0].plot(middles, counts / counts.sum(), label=tasks)
    axes[0].set(xlabel=f"cosine, clicked rows, {_SHOWN}", ylabel="share of rows")
    axes[0].legend(fontsize="small")
    shown = [b for b in BACKBONES if store.seeds(Variant(b).name)]
    width = 0.2
    for place, tasks in enumerate(task_variants(_SHOWN, *weights)):
        names = [task_variants(b, *weights)[tasks].name for b in shown]
        means = [_mean_cosine(store.seeds(name)) for name in names]
        axes[1].bar(np.arange(len(shown)) + place * width, means, width, label=tasks)
    axes[1].set_xticks(np.arange(len(shown)) + 1.5 * width, shown, rotation=20)
    axes[1].set_ylabel("mean cosine, clicked rows")
    axes[1].legend(fontsize="small")
    _save(figure, path)


def draw_keep(store: Store, path: Path) -> None:
    """Test AUC, and processor time of an epoch, over the keep rate."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    for tasks, weights in (("neither", (0.0, 0.0)), ("both", chosen_weights(store))):
        variants = {rate: Variant("din", *weights, rate) for rate in KEEP_RATES}
        runs = {rate: store.seeds(v.name) for rate, v in variants.items()}
        runs = {rate: found for rate, found in runs.items() if found}
        aucs = {r: [x["test"]["click"]["auc"] for x in v] for r, v in runs.items()}
        times = {r: [x["epoch_cpu_seconds"] for x in v] for r, v in runs.items()}
        _errors(axes[0], aucs, tasks)
        _errors(axes[1], times, tasks)
    axes[0].set(xlabel="keep rate of negatives", ylabel="test AUC of DIN")
    axes[1].set(xlabel="keep rate of negatives", ylabel="CPU seconds of an epoch")
    for axis in axes:
        axis.legend(fontsize="small")
    _save(figure, path)


def _aucs(store: Store, variant: Variant) -> list[float]:
    return [run["test"]["click"]["auc"] for run in store.seeds(variant.name)]


def _mean_cosine(runs: Sequence[Report]) -> float:
    means = [run["cosine"]["clicked"]["mean"] for run in runs]
    return float(np.mean(means)) if means else float("nan")


def _errors(axis: Any, runs: dict[float, list[float]], label: str) -> None:
    """Draws means with the deviations of seeds."""
    if runs:
        pairs = (_mean_and_deviation(values) for values in runs.values())
        means, deviations = zip(*pairs, strict=True)
        axis.errorbar(list(runs), means, deviations, marker="o", capsize=3, label=label)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return float(np.mean(values)), float(deviation)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
