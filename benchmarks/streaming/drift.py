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
HOUR_MS = 3_600_000
SPANS = [(-12, 0), (0, 2), (2, 6), (6, 12), (12, 24), (24, 36), (36, 60)]
"""Hours since the change that the rows of the table average over."""

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
        *("--click-rate", 0.1, "--seed", seed),
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
    """Returns of each window its time in hours since the change, and by model its AUC
    and log loss on the window."""
    windows = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["kind"] != "window":
            continue
        own = record["tasks"]["click"]
        served = (record["served"] or {}).get("tasks", {}).get("click")
        middle = (record["first_time"] + record["last_time"]) / 2
        scored = dict(zip(MODELS, (own, served, own["truth"]), strict=True))
        windows.append(
            {
                "hours": (middle - moment_ms(CHANGE)) / HOUR_MS,
                "rows": record["rows"],
                **{
                    metric: {n: (m or own)[metric] for n, m in scored.items()}
                    for metric in ("auc", "log_loss")
                },
            }
        )
    return windows


def table(runs: Sequence[Sequence[Window]]) -> str:
    """Returns a Markdown table: means over the windows of a span, then over seeds."""
    heading = " | ".join(f"{m}, {n}" for m in ("AUC", "log loss") for n in MODELS)
    lines = [f"| hours | windows | {heading} |", "|" + " --- |" * 8]
    for span in SPANS:
        cells = [f"{span[0]} to {span[1]}", str(len(inside(runs[0], span)))]
        for metric in ("auc", "log_loss"):
            for name in MODELS:
                cells.append(spread(mean(run, span, metric, name) for run in runs))
        lines.append(f"| {' | '.join(cells)} |")
    hours = [recovered(run) for run in runs]
    lines += ["", f"Hours until the distance in log loss is half made up: {hours}"]
    return "\n".join(lines)


def inside(run: Sequence[Window], span: tuple[int, int]) -> list[Window]:
    return [w for w in run if span[0] <= w["hours"] < span[1]]


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
    """Returns when the loss beyond the best reachable first fell to the middle of what
    it was in the last 12 hours before the change and the first two hours after it."""

    def excess(window: Window) -> float:
        losses: dict[str, float] = window["log_loss"]
        return losses[MODELS[0]] - losses[MODELS[2]]

    before = statistics.mean(map(excess, inside(run, SPANS[0])))
    after = statistics.mean(map(excess, inside(run, SPANS[1])))
    middle = (before + after) / 2
    later = [w for w in run if w["hours"] > 0 and excess(w) <= middle]
    return round(later[0]["hours"], 1) if later else None


def draw(runs: Sequence[Sequence[Window]], path: Path) -> None:
    """Draws mean and range of the seeds over time, by window."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2))
    count = min(map(len, runs))
    hours = np.mean([[w["hours"] for w in run[:count]] for run in runs], axis=0)
    labels = {"auc": "AUC of a window, before it is learned", "log_loss": "log loss"}
    for axis, metric in zip(axes, labels, strict=True):
        for name, color in zip(MODELS, ("C0", "C3", "gray"), strict=True):
            values = np.array([[w[metric][name] for w in r[:count]] for r in runs])
            axis.plot(hours, values.mean(axis=0), color=color, label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(hours, low, high, color=color, alpha=0.2)
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--")
        axis.set(xlabel="hours since tastes changed", ylabel=labels[metric])
    axes[0].legend(fontsize="small", loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
