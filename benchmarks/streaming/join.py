"""Events a second of the streaming join, against the batch job on the same logs.

    python -m benchmarks.streaming.join --impressions 1000000 --records 200000

makes synthetic logs of nine days with a conversion window of a week, lets the stream
read the first seven (so there is a week of open impressions, known ones and events),
and then measures the last two, in micro-batches. The batch job reads all nine at once.
Each runs in a process of its own. The batch job's logs end with an impression a month
later, so that it writes all rows: else it would withhold those of the last week, which
the stream gives as soon as their labels are decided. With `--steady N` the stream goes
on for N micro-batches, and prints time and memory of each, to see that both stay flat.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from configs import Job, load_job
from configs.days import day_bounds

JOB = Path(__file__).parent.parent / "preprocessing" / "job.yaml"
DAY_MS = 86_400_000
LOGS = {"impressions": "impressions", "click": "clicks", "conversion": "conversions"}


def main() -> None:
    """Runs everything, or (with --only) one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--impressions", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=200_000, help="of a micro-batch")
    parser.add_argument("--folder", default="build/join")
    parser.add_argument("--steady", type=int, default=0)
    parser.add_argument("--only", choices=["batch", "stream"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = Path(arguments.folder)
    if arguments.only == "batch":
        _measure_batch(folder)
    elif arguments.only == "stream":
        _measure_stream(folder, arguments.records, arguments.steady)
    else:
        _make_logs(folder, arguments.impressions)
        results = {kind: _in_process(kind, arguments) for kind in ("batch", "stream")}
        _report(results)


def _make_logs(folder: Path, impressions: int) -> None:
    """Makes logs, and cuts each after seven days."""
    logs = folder / f"logs-{impressions}"
    if not logs.exists():
        command = [
            *(sys.executable, "-m", "preprocessing", "synthesize", str(logs)),
            *("--impressions", str(impressions), "--users", str(impressions // 10)),
            *("--items", "5000", "--days", "9", "--click-rate", "0.02"),
            *("--conversion-rate", "0.1", "--conversion-window", "7d"),
            *("--format", "jsonl"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        _cut(logs)
    link = folder / "logs"
    link.unlink(missing_ok=True)
    link.symlink_to(logs.name)


def _cut(logs: Path) -> None:
    from datetime import date

    moment = day_bounds(date(2026, 1, 1))[0] + 7 * DAY_MS
    for name in LOGS.values():
        with (
            open(logs / f"{name}-before.jsonl", "wb") as before,
            open(logs / f"{name}-after.jsonl", "wb") as after,
        ):
            for path in sorted(logs.glob(f"{name}-0*.jsonl")):
                with open(path, "rb") as lines:
                    for line in lines:
                        time_ms = json.loads(line)["timestamp_ms"]
                        (before if time_ms < moment else after).write(line)
                path.unlink()
    with open(logs / "impressions-after.jsonl", "rb") as after:
        last = json.loads(after.readline())
    last |= {"impression_id": "closing", "timestamp_ms": moment + 30 * DAY_MS}
    (logs / "impressions-closing.jsonl").write_text(json.dumps(last) + "\n")


def _job(folder: Path, examples: str, part: str, records: int) -> Job:
    join = {
        "state": str(folder / "state"),
        "max_records": records,
        "lateness": "10m",
        "future": "36500d",
    }
    paths = {
        "impressions": "data.impressions",
        "click": "data.events.click",
        "conversion": "data.events.conversion",
    }
    return load_job(
        JOB,
        [
            *(
                f"{place}.path={folder}/logs/{LOGS[name]}-{part}.jsonl"
                for name, place in paths.items()
            ),
            f"data.examples={folder}/{examples}",
            "labels.conversion.window=7d",
            "preprocessing.split={by: hash, validation: 0.0, test: 0.0}",
            "preprocessing.dead_letters.max_share=0.5",
            f"stream.join={json.dumps(join)}",
        ],
    )


def _in_process(kind: str, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.streaming.join", "--only", kind]
    command += ["--folder", arguments.folder, "--records", str(arguments.records)]
    command += ["--steady", str(arguments.steady)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    *lines, last = done.stdout.splitlines()
    print("\n".join(lines), flush=True)
    measured: dict[str, float] = json.loads(last)
    print(kind, measured, flush=True)
    return measured


def _measure_batch(folder: Path) -> None:
    job = _job(folder, "whole", "*", 1)
    from preprocessing.run import preprocess

    wall, cpu = time.monotonic(), time.process_time()
    manifest = preprocess(job, overwrite=True)
    _print(wall, cpu, _read(manifest.counters), 0, 0)


def _measure_stream(folder: Path, records: int, steady: int) -> None:
    from preprocessing.stream.driver import StreamingJoin
    from preprocessing.stream.state import State

    for name in ("state", "examples"):
        shutil.rmtree(folder / name, ignore_errors=True)
    state = State(folder / "state")
    with state.locked():
        loading = StreamingJoin(_job(folder, "examples", "before", 500_000), state)
        while loading.step() is not None:
            pass
        carried = loading.commit.carried if loading.commit else {}
        known = _known(loading)
        size = sum(p.stat().st_size for p in state.root.rglob("*") if p.is_file())
        print(
            f"loaded: {carried}, {known:,} known impressions, {size / 2**20:,.0f} MiB"
        )
        stream = StreamingJoin(_job(folder, "examples", "[ab]*", records), state)
        wall, cpu = time.monotonic(), time.process_time()
        total = made = 0
        while manifest := stream.step():
            total += _read(manifest.counters)
            made += 1
            if steady:
                print(f"{made} {time.monotonic() - wall:.2f} s {_resident():,.0f} MiB")
            if steady and made == steady:
                break
        _print(wall, cpu, total, made, known)


def _known(stream: object) -> int:
    commit = getattr(stream, "commit", None)
    segments = commit.segments.get("impressions", []) if commit else []
    return sum(segment.rows for segment in segments)


def _read(counters: dict[str, int]) -> int:
    return sum(n for name, n in counters.items() if name.endswith(".read"))


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _print(wall: float, cpu: float, records: int, batches: int, known: int) -> None:
    measured = {
        "wall": time.monotonic() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "records": records,
        "batches": batches,
        "known": known,
    }
    print(json.dumps(measured))


def _report(results: dict[str, dict[str, float]]) -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs")
    rates = {
        kind: {unit: run["records"] / run[unit] for unit in ("wall", "cpu")}
        for kind, run in results.items()
    }
    for kind, rate in rates.items():
        print(
            f"{kind}: {rate['wall']:,.0f} records per wall second, {rate['cpu']:,.0f}"
            f" per CPU second, peak {results[kind]['peak_mebibytes']:,.0f} MiB"
        )
    for unit in ("wall", "cpu"):
        ratio = rates["stream"][unit] / rates["batch"][unit]
        print(f"{unit}: the stream does {ratio:.2f} of the batch job's records")


if __name__ == "__main__":
    main()
