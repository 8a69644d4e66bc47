"""What histories built of clicks cost, and whether days make what one run makes.

    python -m benchmarks.preprocessing.histories globo_clicks.csv.gz

converts the Globo click log (`python -m preprocessing convert globo`), runs the job of
`configs/globo.yaml` without histories and with histories `from: click`, each in a
process of its own, and prints times, peak memory and the ratio. Then it makes ten days
of a share of the users day by day, and in one run, and compares the examples byte for
byte.
"""

import argparse
import gzip
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path

import yaml

from configs import Job, load_job, parse_job
from configs.days import days_in, local_sets
from configs.manifest import read_manifest

JOB = Path("configs/globo.yaml")
DAYS = days_in(date(2017, 10, 1), date(2017, 10, 10))


def main() -> None:
    """Runs everything, or (with --only) one job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="globo_clicks.csv.gz")
    parser.add_argument("--folder", default="build/histories")
    parser.add_argument("--share", type=int, default=10, help="of users by day, 1/N")
    parser.add_argument("--skip-days", action="store_true")
    parser.add_argument("--skip-all", action="store_true", help="only day by day")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    if arguments.only:
        _measure(arguments.only, folder)
        return
    if not arguments.skip_all:
        _convert(Path(arguments.source), folder / "all" / "logs")
        results = {kind: _in_process(kind, folder) for kind in ("without", "with")}
        _report(results)
    if not arguments.skip_days:
        part = folder / f"users-{arguments.share}.csv"
        _take_users(Path(arguments.source), part, arguments.share)
        for day in DAYS:
            _convert(part, folder / "part" / str(day), day)
        _compare_days(folder)


def _convert(source: Path, target: Path, day: date | None = None) -> None:
    """Converts the clicks of a day, or all."""
    if target.exists():
        return
    command = [sys.executable, "-m", "preprocessing", "convert", "globo"]
    command += [str(source), str(target), "--window", "1h"]
    if day is not None:
        until = date.fromordinal(day.toordinal() + 1)
        command += ["--from", str(day), "--until", str(until)]
    subprocess.run(command, check=True, capture_output=True)


def _take_users(source: Path, target: Path, share: int) -> None:
    """Copies the clicks of every `share`-th user."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(source, "rt") as clicks, target.open("w") as taken:
        taken.write(next(clicks))
        for line in clicks:
            if int(line.partition(",")[0]) % share == 0:
                taken.write(line)


def _job(folder: Path, logs: str, examples: str, *, histories: bool) -> Job:
    paths = folder / logs / "{day}"
    overrides = [
        f"data.impressions.path={paths}/impressions-*.parquet",
        f"data.events.click.path={paths}/clicks-*.parquet",
        f"data.examples={folder / examples}",
        "preprocessing.split={by: hash}",
    ]
    if histories:
        overrides.append("features.history.from=click")
        return load_job(JOB, overrides)
    values = yaml.safe_load(JOB.read_text(encoding="utf-8"))
    del values["features"]["history"]
    values["model"] |= {"backbone": {"name": "dcn_v2"}, "auxiliary": []}
    return parse_job(yaml.safe_dump(values, sort_keys=False), overrides)


def _in_process(kind: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.preprocessing.histories", "-"]
    command += ["--folder", str(folder), "--only", kind]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(kind, measured, flush=True)
    return measured


def _measure(kind: str, folder: Path) -> None:
    job = _job(folder, "all", f"examples-{kind}", histories=kind == "with")
    from preprocessing.run import preprocess

    wall, cpu = time.monotonic(), time.process_time()
    manifest = preprocess(job, overwrite=True)
    measured = {
        "wall": time.monotonic() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "impressions": manifest.counters["impressions.read"],
        "examples": sum(split.rows for split in manifest.splits.values()),
    }
    print(json.dumps(measured))


def _report(results: dict[str, dict[str, float]]) -> None:
    for kind, run in results.items():
        rates = (run["impressions"] / run[unit] for unit in ("wall", "cpu"))
        print(
            f"{kind} histories: {next(rates):,.0f} impressions per wall second,"
            f" {next(rates):,.0f} per CPU second, peak {run['peak_mebibytes']:,.0f} MiB"
        )
    for unit in ("wall", "cpu"):
        ratio = results["without"][unit] / results["with"][unit]
        print(f"{unit}: with histories {ratio:.2f} of the speed without")


def _compare_days(folder: Path) -> None:
    """Makes ten days in one run and day by day, and compares the examples."""
    from preprocessing.run import preprocess

    began = time.process_time()
    whole = _job(folder, "part", "whole", histories=True)
    preprocess(whole, overwrite=True)
    one, began = time.process_time() - began, time.process_time()
    job = _job(folder, "part", "days", histories=True)
    for day in DAYS:
        preprocess(job, day=day, overwrite=True)
    days = time.process_time() - began
    first = _examples([whole.data.examples])
    second = _examples(local_sets(job.data.examples))
    print(f"CPU seconds: one run {one:.1f}, ten daily runs {days:.1f}")
    print(
        f"{first.total():,} examples of one run, {second.total():,} of ten days;"
        f" {(first & second).total():,} are the same byte for byte"
    )


def _examples(folders: list[str]) -> Counter[bytes]:
    from preprocessing.tfrecord import read_records

    return Counter(
        hashlib.sha256(record).digest()
        for folder in folders
        for split in read_manifest(folder).splits.values()
        for shard in split.shards
        for record in read_records(Path(folder) / shard.path)
    )


if __name__ == "__main__":
    main()
