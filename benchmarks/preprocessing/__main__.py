"""Compares `python -m preprocessing run` with the ordinary element-by-element job.

    python -m benchmarks.preprocessing --impressions 200000 --repeats 3

makes synthetic logs (JSON lines), runs both jobs on them in turn, each in a process of
its own, checks that both give the same examples, and prints times and ratios. Times
are wall clock without the imports; CPU seconds are of all threads. With `--tables` our
job runs without side tables and with them, instead.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.preprocessing.tables import (
    KINDS,
    check_equal,
    overrides,
    write_tables,
)
from configs import load_job

JOB = Path(__file__).with_name("job.yaml")
RUNNER = "FnApiRunner"


def main() -> None:
    """Runs the comparison, or (with --only) one of the jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--impressions", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default="build/benchmark")
    parser.add_argument("--ours-only", action="store_true", help="no comparison")
    parser.add_argument("--tables", action="store_true", help="side tables instead")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    if arguments.only:
        _measure(arguments.only, folder)
        return
    _make_logs(folder, arguments.impressions)
    kinds = ["ours", "ordinary"]
    if arguments.ours_only or arguments.tables:
        kinds = ["ours"]
    if arguments.tables:
        print(write_tables(folder / "logs"), "rows")
        kinds += KINDS
    results: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(arguments.repeats):
        for kind in kinds:
            results[kind].append(_in_process(kind, folder))
            print(kind, results[kind][-1], flush=True)
    _report(results, folder, arguments.impressions)


def _make_logs(folder: Path, impressions: int) -> None:
    logs = folder / f"logs-{impressions}"
    if not logs.exists():
        command = [
            *(sys.executable, "-m", "preprocessing", "synthesize", str(logs)),
            *("--impressions", str(impressions), "--users", str(impressions // 10)),
            *("--items", "5000", "--days", "9", "--click-rate", "0.02"),
            *("--conversion-rate", "0.1", "--format", "jsonl"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    link = folder / "logs"
    link.unlink(missing_ok=True)
    link.symlink_to(logs.name)


def _in_process(kind: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.preprocessing", "--only", kind]
    command += ["--folder", str(folder)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _measure(kind: str, folder: Path) -> None:
    others = overrides(kind, folder) if kind in KINDS else []
    job = load_job(JOB, [*(f"data.{name}" for name in _paths(folder)), *others])
    from benchmarks.preprocessing.element_by_element import run
    from preprocessing.run import preprocess

    wall, cpu = time.monotonic(), time.process_time()
    if kind != "ordinary":
        preprocess(job, overwrite=True, runner=RUNNER)
    else:
        run(job, str(folder / "ordinary"), RUNNER)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({**seconds, "peak_mebibytes": peak}))


def _paths(folder: Path) -> list[str]:
    return [
        f"impressions.path={folder}/logs/impressions-*.jsonl",
        f"events.click.path={folder}/logs/clicks-*.jsonl",
        f"events.conversion.path={folder}/logs/conversions-*.jsonl",
        f"examples={folder}/examples",
    ]


def _report(
    results: dict[str, list[dict[str, float]]], folder: Path, impressions: int
) -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs")
    for kind, runs in results.items():
        for unit in ("wall", "cpu"):
            rates = sorted(impressions / run[unit] for run in runs)
            middle = statistics.median(rates)
            print(
                f"{kind:<9}{middle:>10,.0f} impressions per {unit} second"
                f" (lowest {rates[0]:,.0f}, highest {rates[-1]:,.0f}),"
                f" peak {max(r['peak_mebibytes'] for r in runs):,.0f} MiB"
            )
    if KINDS[0] in results:
        print(check_equal(folder))
    if "ordinary" not in results:
        return
    for unit in ("wall", "cpu"):
        pairs = zip(results["ordinary"], results["ours"], strict=True)
        ratios = sorted(slow[unit] / fast[unit] for slow, fast in pairs)
        print(
            f"{unit}: ours is {statistics.median(ratios):.1f} times as fast"
            f" ({ratios[0]:.1f} to {ratios[-1]:.1f} over {len(ratios)} repeats)"
        )
    from benchmarks.preprocessing.comparing import compare

    print(compare(folder / "examples", folder / "ordinary"))


if __name__ == "__main__":
    main()
