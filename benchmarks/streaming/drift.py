"""What does a model that learns on gain when tastes change?

    python -m benchmarks.streaming.drift [--folder data/drift] [--seeds 3]

Synthetic logs of five days whose tastes change at noon of the third. What was logged up
to noon is joined and learned as a stream, and the model of that moment is published.
Then the rest comes: the trainer goes on, and scores on each window, before it learns
from it, both itself and the published model, which stays what it was. The generator's
truth, scored on the same rows, is the best that any model could reach.
"""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.quality.experiment import pairstream, spread
from configs.durations import moment_ms
from preprocessing.datasets.log_writer import json_lines

mpl.use("Agg")
from matplotlib import pyplot as plt

JOB = "benchmarks/streaming/drift.yaml"
START, CHANGE = "2026-01-01", "2026-01-03T12:00"
LOGS = {"impressions": "impressions", "clicks": "click"}
MODELS = ("learns on", "frozen at the change", "best reachable")
SPANS = [(-50, 0), (0, 10), (10, 25), (25, 50), (50, 100), (100, 200), (200, 400)]
"""Thousands of rows since the change, for the lines of the table."""

Window = dict[str, Any]


def main() -> None:
    """Runs everything that is not there yet, and writes table and plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("data/drift"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--impressions", type=int, default=750_000)
    parser.add_argument(
        "--plot", type=Path, default=Path("benchmarks/streaming/drift.png")
    )
    arguments = parser.parse_args()
    runs = [
        windows_of(arguments.folder / f"seed{seed}", seed, arguments.impressions)
        for seed in range(arguments.seeds)
    ]
    print(table(runs))
    draw(runs, arguments.plot)


def windows_of(folder: Path, seed: int, impressions: int) -> list[Window]:
    """Returns the windows of one run, made unless they are there."""
    done = folder / "windows.json"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        stream(folder, seed, impressions)
        windows = read_windows(folder / "run" / "metrics.jsonl")
        done.write_text(json.dumps(windows))
        seconds = time.monotonic() - started
        print(f"seed {seed}: {len(windows)} windows, {seconds:.0f} s", flush=True)
    found: list[Window] = json.loads(done.read_text())
    return found


def stream(folder: Path, seed: int, impressions: int) -> None:
    """Plays both parts of the log through join and trainer; between them the model is
    published."""
    pairstream(
        *("preprocessing", "synthesize", folder / "world", "--no-history"),
        *("--impressions", impressions, "--days", 5, "--start", START),
        *("--taste-change", CHANGE, "--users", 1_000, "--items", 300, "--taste", 1.5),
        *("--click-rate", 0.1, "--click-window", "5m", "--seed", seed),
    )
    settings = {
        "data.impressions.path": f"{folder}/logs/impressions/*.jsonl",
        "data.events.click.path": f"{folder}/logs/click/*.jsonl",
        "data.examples": folder / "examples",
        "data.run": folder / "run",
        "data.models": folder / "models",
        "stream.join.state": folder / "join",
        "training.seed": seed,
    }
    pairs = [f"{name}={value}" for name, value in settings.items()]
    options = [word for pair in pairs for word in ("--set", pair)]
    for part in range(2):
        log_part(folder, part)
        pairstream("preprocessing", "stream", JOB, "--until-idle", *options)
        pairstream("trainer", "stream", JOB, "--until-end", *options)
        if part == 0:
            pairstream("serving", "publish", JOB, "--once", *options)


def log_part(folder: Path, part: int) -> None:
    """Logs what comes before (0) or after (1) the change, as one file of each log."""
    change = moment_ms(CHANGE)
    for name, log in LOGS.items():
        table = pa.concat_tables(
            [pq.read_table(p) for p in sorted((folder / "world").glob(f"{name}-*"))]
        )
        before = pc.less(table["timestamp_ms"], change)
        target = folder / "logs" / log / f"{part}.jsonl"
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = target.with_name(f".{target.name}")
        rows = table.filter(pc.invert(before) if part else before)
        hidden.write_bytes(b"".join(json_lines(rows)))
        hidden.rename(target)


def read_windows(path: Path) -> list[Window]:
    """Returns of each window its rows; how many thousands of rows its middle comes
    after the change (before it, negative); and by model its AUC and log loss."""
    lines = map(json.loads, path.read_text().splitlines())
    records = [record for record in lines if record["kind"] == "window"]
    # The frozen model is scored from the change on, and is the one that learns before.
    learned = sum(r["rows"] for r in records if r["served"] is None)
    windows, seen = [], 0
    for record in records:
        own = record["tasks"]["click"]
        served = record["served"]["tasks"]["click"] if record["served"] else own
        scored = dict(zip(MODELS, (own, served, own["truth"]), strict=True))
        windows.append(
            {
                "rows": record["rows"],
                "thousands": (seen + record["rows"] / 2 - learned) / 1_000,
                **{
                    metric: {name: figures[metric] for name, figures in scored.items()}
                    for metric in ("auc", "log_loss")
                },
            }
        )
        seen += record["rows"]
    return windows


def table(runs: Sequence[Sequence[Window]]) -> str:
    """Returns a Markdown table: means over the windows of a span, then over seeds."""
    heading = " | ".join(f"{m}, {n}" for m in ("AUC", "log loss") for n in MODELS)
    lines = [f"| thousands of rows | windows | {heading} |", "|" + " --- |" * 8]
    for span in SPANS:
        cells = [f"{span[0]} to {span[1]}", str(len(inside(runs[0], span)))]
        for metric in ("auc", "log_loss"):
            for name in MODELS:
                cells.append(spread(mean(run, span, metric, name) for run in runs))
        lines.append(f"| {' | '.join(cells)} |")
    found = spread((recovered(run) for run in runs), 0)
    lines += ["", f"Half of the loss is made up after {found} thousand rows."]
    return "\n".join(lines)


def inside(run: Sequence[Window], span: tuple[int, int]) -> list[Window]:
    return [w for w in run if span[0] <= w["thousands"] < span[1]]


def mean(
    run: Sequence[Window], span: tuple[int, int], metric: str, name: str
) -> float | None:
    """Returns the mean over windows, each weighted by its rows."""
    windows = inside(run, span)
    if not windows:
        return None
    rows = [w["rows"] for w in windows]
    return float(np.average([w[metric][name] for w in windows], weights=rows))


def recovered(run: Sequence[Window]) -> float | None:
    """Returns after how many thousand rows the loss beyond the best reachable first
    fell to the middle of what it was before the change and right after it."""

    def excess(window: Window) -> float:
        losses: dict[str, float] = window["log_loss"]
        return losses[MODELS[0]] - losses[MODELS[2]]

    if not inside(run, SPANS[0]) or not inside(run, SPANS[1]):
        return None  # a trial on few rows
    before = statistics.mean(map(excess, inside(run, SPANS[0])))
    after = statistics.mean(map(excess, inside(run, SPANS[1])))
    middle = (before + after) / 2
    later = [w for w in run if w["thousands"] > 0 and excess(w) <= middle]
    return later[0]["thousands"] if later else None


def draw(runs: Sequence[Sequence[Window]], path: Path) -> None:
    """Draws mean and range of the seeds over time, by window."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2))
    # Windows are alike in rows, those at the ends of both parts apart.
    grid = np.arange(-400.0, 400.0, 4.0)
    spans = [[w["thousands"] for w in run] for run in runs]
    grid = grid[
        (grid >= max(s[0] for s in spans)) & (grid <= min(s[-1] for s in spans))
    ]
    labels = {"auc": "AUC of a window, before it is learned", "log_loss": "log loss"}
    for axis, metric in zip(axes, labels, strict=True):
        for name, color in zip(MODELS, ("C0", "C3", "gray"), strict=True):
            values = np.array(
                [
                    np.interp(grid, span, [w[metric][name] for w in run])
                    for span, run in zip(spans, runs, strict=True)
                ]
            )
            if name == MODELS[1]:
                values[:, grid < 0] = np.nan  # nothing is frozen yet
            axis.plot(grid, values.mean(axis=0), color=color, label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(grid, low, high, color=color, alpha=0.2)
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--")
        axis.set(xlabel="thousands of rows since tastes changed", ylabel=labels[metric])
    axes[0].legend(fontsize="small", loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
