"""Kills the streaming join with SIGKILL at random moments, and compares what it leaves.

    python -m benchmarks.streaming.join_kills --kills 50

joins synthetic logs once without a disturbance, and once in processes that are killed
again and again, and compares all files of the sets and of the state byte for byte.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from configs import Job, load_job
from configs.manifest import read_manifest
from configs.stream_sets import stream_sets

# Children are forked, and need not import what this process has; TensorFlow has not
# computed anything here yet, so it has no threads that a fork would lose.
from preprocessing.stream.driver import StreamingJoin
from preprocessing.stream.state import State

JOB = Path(__file__).parent.parent / "preprocessing" / "job.yaml"
KEPT = ("examples", "state")


def main() -> int:
    """Runs the proof; returns 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--impressions", type=int, default=4_000)
    parser.add_argument("--records", type=int, default=250, help="of a micro-batch")
    parser.add_argument("--folder", default="build/join-kills")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(arguments.folder).resolve()
    _make_logs(folder, arguments.impressions)
    job = _job(folder, arguments.records)
    _remove(folder)
    began = time.monotonic()
    _wait(_start(job))
    alone = time.monotonic() - began
    expected = _files(folder)
    sets = len(stream_sets(job.data.examples))
    print(f"without a disturbance: {sets} sets, {len(expected)} files, {alone:.1f} s")
    _remove(folder)
    chance = random.Random(arguments.seed)  # noqa: S311 (moments, no secrets)
    batches = _killed(job, arguments.kills, chance, 2.5 * alone / sets)
    found = _files(folder)
    different = {name for name in expected | found if _differ(expected, found, name)}
    print(
        f"killed {arguments.kills} times, while making {len(batches)} of the"
        f" {sets} micro-batches (most often {max(batches.values())} times the same):"
        f" {len(different)} of {len(found)} files differ"
    )
    for name in sorted(different)[:10]:
        print(f"  {name}")
    _check_ids(job)
    return 1 if different else 0


def _make_logs(folder: Path, impressions: int) -> None:
    from preprocessing.cli import main as preprocessing

    if not (folder / "logs").exists():
        command = ["synthesize", str(folder / "logs"), "--format", "jsonl"]
        command += ["--impressions", str(impressions), "--users", "400"]
        command += ["--items", "200", "--days", "9", "--click-rate", "0.1"]
        pid = os.fork()
        if pid == 0:
            os._exit(preprocessing([*command, "--conversion-rate", "0.2"]))
        _wait(pid)


def _job(folder: Path, records: int) -> Job:
    join = {
        "state": str(folder / "state"),
        "max_records": records,
        "lateness": "1h",
        "future": "36500d",
    }
    return load_job(
        JOB,
        [
            f"data.impressions.path={folder}/logs/impressions-*.jsonl",
            f"data.events.click.path={folder}/logs/clicks-*.jsonl",
            f"data.events.conversion.path={folder}/logs/conversions-*.jsonl",
            f"data.examples={folder}/examples",
            "preprocessing.dead_letters.max_share=0.5",
            f"stream.join={json.dumps(join)}",
        ],
    )


def _start(job: Job) -> int:
    """Joins in a child until all is read; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        state = State(job.stream.join.state)  # type: ignore[union-attr]
        with state.locked():
            stream = StreamingJoin(job, state)
            stream.recover()
            while stream.step() is not None:
                pass
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)
    return 0


def _wait(pid: int) -> bool:
    """Waits for a child; returns whether it was killed."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status):
        raise SystemExit("a process failed that was not killed")
    return False


def _killed(
    job: Job, kills: int, chance: random.Random, longest: float
) -> Counter[int]:
    """Kills children until there were enough, then lets one end; returns how often each
    micro-batch was being made."""
    batches: Counter[int] = Counter()
    folder = Path(job.data.examples).parent
    while batches.total() < kills:
        pid = _start(job)
        time.sleep(chance.uniform(0.0, longest))
        os.kill(pid, signal.SIGKILL)
        if not _wait(pid):
            print(f"all was read after {batches.total()} kills: begun anew", flush=True)
            _remove(folder)
            continue
        intent = folder / "state" / "intent.json"
        batch = json.loads(intent.read_bytes())["batch"] if intent.exists() else -1
        batches[batch] += 1
    _wait(_start(job))
    return batches


def _remove(folder: Path) -> None:
    for name in KEPT:
        shutil.rmtree(folder / name, ignore_errors=True)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in KEPT
        for path in sorted((folder / name).rglob("*"))
        # The clock of the last intent is the only thing that is not made of the logs.
        if path.is_file() and path.name not in ("lock", "intent.json")
    }


def _differ(first: dict[str, bytes], second: dict[str, bytes], name: str) -> bool:
    return first.get(name) != second.get(name)


def _check_ids(job: Job) -> None:
    """Counts rows by the event's fingerprint: every one once."""
    from preprocessing.tfrecord import read_records

    seen: Counter[bytes] = Counter()
    rows = 0
    for folder in stream_sets(job.data.examples).values():
        for split in read_manifest(folder).splits.values():
            for shard in split.shards:
                seen.update(read_records(folder / shard.path))
                rows += shard.rows
    twice = sum(count > 1 for count in seen.values())
    print(f"{rows:,} examples, {twice} of them twice")


if __name__ == "__main__":
    sys.exit(main())
