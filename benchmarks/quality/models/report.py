"""Writes RESULTS.md and the plots from the results that there are."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import experiment
from benchmarks.quality.models import plots, settings
from benchmarks.quality.models.criteo import CriteoStudy, trial_name
from benchmarks.quality.models.globo import (
    BACKBONES,
    KEEP_RATES,
    TASKS,
    WEIGHTS,
    Variant,
    chosen_weights,
    task_variants,
)
from benchmarks.quality.models.hillstrom import LOSSES, SYSTEMS
from benchmarks.quality.models.hillstrom import trial_name as hillstrom_name
from benchmarks.quality.models.store import Report, Store
from benchmarks.training.spread import ratio

__all__ = ["differences", "markdown", "write_report"]

FINDINGS = Path(__file__).with_name("findings.md")


def write_report(store: Store, folder: Path) -> str:
    """Writes RESULTS.md and plots to `folder`; returns the text.

    What the tables show is not computed: it stands in findings.md beside this file.
    """
    parts = [FINDINGS.read_text("utf-8").strip()] if FINDINGS.exists() else []
    folder.mkdir(parents=True, exist_ok=True)
    for text, table, name, draw in _SECTIONS:
        lines = table(store)
        if lines:
            parts += [text.strip(), "\n".join(lines)]
        if lines and draw is not None:
            draw(store, folder / f"{name}.png")
            parts.append(f"![{name.capitalize()}]({name}.png)")
    result = "\n\n".join(parts) + "\n"
    (folder / "RESULTS.md").write_text(result, encoding="utf-8")
    return result


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table; none without rows."""
    if not rows:
        return []
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def differences(
    runs: Sequence[Report], others: Sequence[Report], metric: str, task: str = "click"
) -> str:
    """Returns the mean and deviation of the differences of the same seeds, first minus
    second, over the seeds that both have: these count from 0. "" if there are none."""
    count = min(len(runs), len(others))
    if not count:
        return ""
    pairs = zip(
        values(runs[:count], metric, task),
        values(others[:count], metric, task),
        strict=True,
    )
    text = spread((a - b for a, b in pairs), 4)
    return text if text.startswith("-") else f"+{text}"


def spread(found: Iterable[float | None], digits: int = 4) -> str:
    """Returns "mean ± standard deviation"; of one value that value alone."""
    text = experiment.spread(known := list(found), digits)
    return text.partition(" ±")[0] if len(known) < 2 else text


def values(
    runs: Sequence[Report], metric: str, task: str = "click", split: str = "test"
) -> list[float]:
    """Returns a metric of each run."""
    return [run[split][task][metric] for run in runs]


def criteo_table(store: Store) -> list[str]:
    """Returns the table of backbones on Criteo's sample."""
    rows, refused = [], []
    for variant in CriteoStudy(examples=Path(), store=store).variants():
        runs = store.seeds(trial_name(variant))
        if not runs:
            if "refused" in (store.read(f"{trial_name(variant)}-seed0") or {}):
                refused.append(variant)
            continue
        first = runs[0]
        rows.append(
            [
                variant,
                str(len(runs)),
                *(spread(values(runs, name)) for name in ("auc", "log_loss")),
                spread(values(runs, "calibration"), 3),
                f"{first['parameters']:,}",
                f"{first['dense_parameters']:,}",
                spread((run["chosen_step"] for run in runs), 0),
                *_times(runs),
            ]
        )
    heads = ["backbone", "seeds", "AUC", "log loss", "calibration", "parameters"]
    heads += ["outside tables", "steps", "s/epoch", "CPU s/epoch"]
    lines = markdown(heads, rows)
    if lines and refused:
        lines += ["", f"Refused, for the rows have no sequence: {', '.join(refused)}."]
    return lines


def hillstrom_table(store: Store) -> list[str]:
    """Returns the table of multi-task systems."""
    rows = []
    for system in SYSTEMS:
        base = store.seeds(hillstrom_name(system, "bce"))
        for loss in LOSSES:
            runs = store.seeds(hillstrom_name(system, loss))
            if not runs:
                continue
            cells = [system, loss, str(len(runs))]
            for task in ("click", "conversion"):
                cells.append(spread(values(runs, "auc", task)))
                cells.append(
                    "" if loss == "bce" else differences(runs, base, "auc", task)
                )
            cells.append(spread(values(runs, "log_loss")))
            cells.append(spread(values(runs, "calibration"), 3))
            rows.append([*cells, f"{runs[0]['parameters']:,}"])
    heads = ["system", "loss", "cuts", "click AUC", "against bce", "conversion AUC"]
    heads += ["against bce", "click log loss", "click calibration", "parameters"]
    return markdown(heads, rows)


def weights_table(store: Store) -> list[str]:
    """Returns the table of DIN with each task alone, over weights."""
    base = store.seeds(Variant("din").name)
    rows = []
    settings = [("neither", Variant("din"), "")]
    settings += [("UIM", Variant("din", uim=w), f"{w:g}") for w in WEIGHTS]
    settings += [("NIP", Variant("din", nip=w), f"{w:g}") for w in WEIGHTS]
    for task, variant, weight in settings:
        runs = store.seeds(variant.name)
        if not runs:
            continue
        rows.append(
            [
                task,
                weight,
                str(len(runs)),
                spread(values(runs, "log_loss", split="validation")),
                *(spread(values(runs, name)) for name in ("auc", "gauc", "log_loss")),
                "" if task == "neither" else differences(runs, base, "auc"),
            ]
        )
    heads = ["task", "weight", "seeds", "validation log loss", "AUC", "GAUC"]
    lines = markdown([*heads, "log loss", "AUC against neither"], rows)
    if lines:
        uim, nip = chosen_weights(store)
        lines += ["", f"Chosen on validation rows: UIM {uim:g}, NIP {nip:g}."]
    return lines


def backbones_table(store: Store) -> list[str]:
    """Returns the table of backbones with and without the tasks."""
    rows = []
    for backbone in BACKBONES:
        base = store.seeds(Variant(backbone).name)
        if not base:
            continue
        timed = store.read(f"globo-time/{backbone}")
        for tasks, variant in task_variants(backbone, *chosen_weights(store)).items():
            runs = store.seeds(variant.name)
            if not runs:
                continue
            rows.append(
                [
                    backbone,
                    tasks,
                    str(len(runs)),
                    *(spread(values(runs, m)) for m in ("auc", "gauc", "log_loss")),
                    spread(values(runs, "calibration"), 3),
                    "" if tasks == "neither" else differences(runs, base, "auc"),
                    *_processor_time(runs, base, tasks),
                    *_turns(timed, tasks),
                ]
            )
    heads = ["backbone", "tasks", "seeds", "AUC", "GAUC", "log loss", "calibration"]
    heads += ["AUC against neither", "CPU s/epoch", "/ neither"]
    heads += ["s/epoch in turns", "/ neither (95%)"]
    return markdown(heads, rows)


def cosines_table(store: Store) -> list[str]:
    """Returns the table of mean cosines."""
    rows = []
    for backbone in BACKBONES:
        if not store.seeds(Variant(backbone).name):
            continue
        for tasks, variant in task_variants(backbone, *chosen_weights(store)).items():
            runs = store.seeds(variant.name)
            if runs:
                means = [
                    spread((run["cosine"][kind]["mean"] for run in runs), 3)
                    for kind in ("clicked", "not_clicked")
                ]
                rows.append([backbone, tasks, str(len(runs)), *means])
    return markdown(["backbone", "tasks", "seeds", "clicked", "not clicked"], rows)


def keep_table(store: Store) -> list[str]:
    """Returns the table of keep rates."""
    rows = []
    for rate in KEEP_RATES:
        for tasks in ("neither", "both"):
            uim, nip = (0.0, 0.0) if tasks == "neither" else chosen_weights(store)
            runs = store.seeds(Variant("din", uim, nip, rate).name)
            if not runs or not store.seeds(Variant("din", keep=0.1).name):
                continue
            rows.append(
                [
                    f"{rate:g}",
                    tasks,
                    str(len(runs)),
                    f"{runs[0]['train_rows']:,}",
                    f"{runs[0]['storage_bytes'] / 2**20:.0f}",
                    *(spread(values(runs, m)) for m in ("auc", "gauc", "log_loss")),
                    spread(values(runs, "calibration"), 3),
                    *_times(runs),
                ]
            )
    heads = ["keep rate", "tasks", "seeds", "rows", "MiB", "AUC", "GAUC", "log loss"]
    return markdown([*heads, "calibration", "s/epoch", "CPU s/epoch"], rows)


def _times(runs: Sequence[Report]) -> list[str]:
    """Returns seconds of an epoch by the wall and of the processor. The least of the
    seeds: what else the machine did can only add."""
    names = ("epoch_seconds", "epoch_cpu_seconds")
    return [f"{min(run[name] for run in runs):.1f}" for name in names]


def _processor_time(
    runs: Sequence[Report], base: Sequence[Report], tasks: str
) -> list[str]:
    """Returns the processor's seconds of an epoch, the least of the seeds, and how many
    times those without tasks."""
    least, first = (min(r["epoch_cpu_seconds"] for r in x) for x in (runs, base))
    return [f"{least:.1f}", "" if tasks == TASKS[0] else f"{least / first:.2f}"]


def _turns(timed: Report | None, tasks: str) -> list[str]:
    """Returns seconds of an epoch, and how many times those without tasks."""
    if timed is None:
        return ["", ""]
    seconds: dict[str, list[Any]] = timed["seconds_per_step"]
    epoch = f"{min(seconds[tasks]) * timed['epoch_steps']:.1f}"
    if tasks == TASKS[0]:
        return [epoch, ""]
    return [epoch, ratio(seconds[tasks], seconds[TASKS[0]]).text(2)]


_SECTIONS: list[
    tuple[str, Callable[[Store], list[str]], str, Callable[[Store, Path], None] | None]
] = [
    (settings.CRITEO, criteo_table, "criteo", None),
    (settings.HILLSTROM, hillstrom_table, "hillstrom", None),
    (settings.WEIGHTS, weights_table, "weights", plots.draw_weights),
    (settings.BACKBONES, backbones_table, "backbones", None),
    (settings.COSINES, cosines_table, "cosines", plots.draw_cosines),
    (settings.KEEP, keep_table, "keep", plots.draw_keep),
]
"""Of each section its text, its table, its name, and what draws its plot."""
