"""Compares exports of a model trained with and without auxiliary tasks.

    python -m benchmarks.export
    python -m benchmarks.export --again

Both are trained on the same rows, exported and verified as any model; then their sizes
are compared, and the time of a prediction, from packed columns to probabilities as the
server makes it. Predictions are interleaved one by one: in each round every model
answers the same request once, in an order that changes from round to round. A second
copy of the first model tells how far equal models are apart. CPU time is that of all
threads; on a machine that does other things meanwhile it is the steadier of the two.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).with_name("RESULTS.md")
ROWS = (1, 100, 1_000)
WARM_UP = 20
HEAD = """# Exports of models trained with and without auxiliary tasks

Written by `python -m benchmarks.export`: a DIN with histories of 30 behaviours
(`benchmarks/export/job.yaml`), trained for a few steps without auxiliary tasks and with
all of {names}.
"""
SIZES = """
Files in bytes. `job.yaml` says what the model was trained with and `export.json` where;
`fingerprint.pb` holds checksums and a random number; in `saved_model.pb` the names of
functions carry numbers that grow with what the exporting process did before.
"""
LATENCY = """
Time of a prediction in one process, from packed columns to probabilities; in each of
{rounds} rounds each model answers the same request once, in changing order. The ratio
is that of the medians, in brackets its 95% interval (bootstrap over rounds). The second
column is another copy of the same export: what it differs by is noise.
"""


def main() -> None:
    """Makes both exports, measures, prints and writes RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="build/benchmark-export", type=Path)
    parser.add_argument("--rounds", default=400, type=int, help="for each request")
    parser.add_argument(
        "--again", action="store_true", help="measure the exports that are there"
    )
    arguments = parser.parse_args()
    from benchmarks.export.making import NAMES, export, sizes

    folders = []
    if not arguments.again:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    for name, tasks in (("without", ()), ("with", NAMES)):
        if not arguments.again:
            export(arguments.folder / name, tasks)
        folders.append(arguments.folder / name / "models" / "1")
    names = ", ".join(f"`{name}`" for name in NAMES)
    text = HEAD.format(names=names)
    without, with_all = folders
    text += "\n" + _size_table(sizes(without), sizes(with_all))
    load = os.getloadavg()[0]
    text += LATENCY.format(rounds=arguments.rounds)
    text += "\n" + _latency_table(without, with_all, arguments.rounds)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs"
    text += f"\n({datetime.date.today()}, {machine}, load {load:.1f} at the start)\n"
    print(text)
    RESULTS.write_text(text)


def _size_table(without: Mapping[str, int], with_all: Mapping[str, int]) -> str:
    lines = ["| | without | with | difference |", "| --- | --- | --- | --- |"]
    for name, size in without.items():
        other = with_all[name]
        lines.append(f"| {name} | {size:,} | {other:,} | {other - size:+,} |")
    return "\n".join(lines) + "\n" + SIZES


def _latency_table(without: Path, with_all: Path, rounds: int) -> str:
    from benchmarks.export.making import requests
    from serving.saved_model import load_model

    models = [load_model(folder) for folder in (without, without, with_all)]
    lines = [
        "| rows | | without | ratio: the same again | ratio: with |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rows in ROWS:
        arrays = requests(models[0].specification, rows)
        measured = _interleaved(models, arrays, rounds)
        for kind, times in zip(("time", "CPU time"), measured, strict=True):
            median = 1e3 * statistics.median(times[0])
            ratios = " | ".join(_ratio(times[0], other) for other in times[1:])
            lines.append(f"| {rows:,} | {kind} | {median:.2f} ms | {ratios} |")
    return "\n".join(lines) + "\n"


def _interleaved(
    models: Sequence[Any], arrays: Any, rounds: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Returns the seconds of each model's answers, round by round, by the clock and by
    the CPU."""
    times: list[list[float]] = [[] for _ in models]
    used: list[list[float]] = [[] for _ in models]
    for number in range(WARM_UP + rounds):
        # Who follows whom must not matter.
        order = np.random.default_rng(number).permutation(len(models))
        for place in order:
            before, started = time.process_time(), time.perf_counter()
            models[place].predict(arrays)
            if number >= WARM_UP:
                times[place].append(time.perf_counter() - started)
                used[place].append(time.process_time() - before)
    return times, used


def _ratio(one: Sequence[float], other: Sequence[float]) -> str:
    """Returns the ratio of medians, other to one, with its interval."""
    pairs = np.array([one, other])
    random = np.random.default_rng(0)
    drawn = random.integers(0, pairs.shape[1], (1_000, pairs.shape[1]))
    medians = np.median(pairs[:, drawn], axis=2)
    low, high = np.percentile(medians[1] / medians[0], [2.5, 97.5])
    ratio = np.median(pairs[1]) / np.median(pairs[0])
    return f"{ratio:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
