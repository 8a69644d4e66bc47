"""Measures the losses, forward and backward, by batch size and click rate.

    python -m benchmarks.losses
    python -m benchmarks.losses --part InfoNCE --part accuracy

Each variant runs in a process of its own, one after the other: naive matrices,
positives by negatives, ours. Peak memory is what the process needs beyond what it holds
before the batch. Every part leaves its text in the folder, and RESULTS.md is put
together from those that are there: so parts may be measured one at a time.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

LOSSES = {
    "Combined-Pair": ("naive N x N", "positives x negatives", "ours"),
    "InfoNCE": ("naive N x N", "ours"),
    "PWiseR": ("naive N x N", "ours"),
}


PARTS = (*LOSSES, "accuracy", "step")
RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = """# Losses: time, memory and error

Written by `python -m benchmarks.losses`. Forward and backward of the loss alone, median
time of a call and peak memory beyond what was in use before the batch. A dash: the
matrix would be larger than 1,100 MiB, or does not depend on the click rate and was
measured at the largest alone. InfoNCE is over the clicked rows, with vectors of 32.
"""


def main() -> None:
    """Runs all parts, or those that --part names, or (with --only) one variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="build/benchmark-losses", type=Path)
    parser.add_argument("--pairs", default=60, type=int, help="of training steps")
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="all unless given"
    )
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        from benchmarks.losses.measuring import measure

        print(json.dumps(measure(*arguments.only)))
        return
    texts = arguments.folder / "texts"
    texts.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs"
    for part in arguments.part or PARTS:
        load = os.getloadavg()[0]
        text = _text(part, arguments.folder, arguments.pairs)
        when = f"{datetime.date.today()}, {machine}, load {load:.1f} at the start"
        (texts / f"{part}.md").write_text(f"{text}\n\n({when})\n")
        print(text, "\n", flush=True)
        found = [texts / f"{name}.md" for name in PARTS]
        written = [path.read_text() for path in found if path.exists()]
        RESULTS.write_text("\n".join([HEAD, *written]))


def _text(part: str, folder: Path, pairs: int) -> str:
    if part == "accuracy":
        from benchmarks.losses.accuracy import accuracy_table

        title = "Error of Combined-Pair's pair sum against the double sum in float64:"
        return f"{title}\n\n{accuracy_table()}"
    if part == "step":
        from benchmarks.losses.step import compare_steps

        return compare_steps(folder / "step", pairs)
    return _table(part, [x for v in LOSSES[part] for x in _in_process(part, v)])


def _in_process(loss: str, variant: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.losses", "--only", loss, variant]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    records: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return records


def _table(loss: str, records: list[dict[str, Any]]) -> str:
    """Returns a Markdown table: a row for each batch, time and memory by variant.

    Raises:
        SystemExit: if variants differ in the value of the loss.
    """
    variants = LOSSES[loss]
    cells = {(x["rows"], x["rate"], x["variant"]): x for x in records}
    lines = [
        f"| {loss}: rows | clicks | " + " | ".join(variants) + " |",
        "| --- " * (2 + len(variants)) + "|",
    ]
    for rows, rate in dict.fromkeys((x["rows"], x["rate"]) for x in records):
        found = [cells.get((rows, rate, variant)) for variant in variants]
        values = [x["value"] for x in found if x]
        if max(values) - min(values) > 1e-4 * max(values):
            raise SystemExit(f"{loss}, {rows} rows at {rate}: values are {values}")
        texts = [
            f"{x['milliseconds']:.1f} ms, {x['mebibytes']:.0f} MiB" if x else "-"
            for x in found
        ]
        lines.append(f"| {rows:,} | {rate:.1%} | {' | '.join(texts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
