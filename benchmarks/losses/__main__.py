"""Measures the losses, forward and backward, by batch size and click rate.

    python -m benchmarks.losses

Each variant runs in a process of its own, one after the other: naive matrices,
positives by negatives, ours. Peak memory is what the process needs beyond what it holds
before the batch. Prints the tables of RESULTS.md.
"""

import argparse
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


def main() -> None:
    """Runs all, or (with --only) one variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="build/benchmark-losses", type=Path)
    parser.add_argument("--pairs", default=60, type=int, help="of training steps")
    parser.add_argument("--loss", choices=LOSSES, help="measure it alone")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        from benchmarks.losses.measuring import measure

        print(json.dumps(measure(*arguments.only)))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs\n")
    for loss in [arguments.loss] if arguments.loss else LOSSES:
        print(_table(loss, [x for v in LOSSES[loss] for x in _in_process(loss, v)]))
        print(flush=True)
    if arguments.loss is None:
        from benchmarks.losses.accuracy import accuracy_table
        from benchmarks.losses.step import compare_steps

        print(accuracy_table(), "\n", flush=True)
        print(compare_steps(arguments.folder, arguments.pairs))


def _in_process(loss: str, variant: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", __spec__.name, "--only", loss, variant]
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
