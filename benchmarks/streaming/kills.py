"""Kills a streaming training at random moments, and proves that nothing is lost.

    python -m benchmarks.streaming.kills --source folder --kills 50
    python -m benchmarks.streaming.kills --source kafka  --kills 50   # starts a broker

One run is left alone. Another one over the same rows is ended by `kill -9` again and
again, while it starts, reads, steps or writes a checkpoint, and started again. At the
end it must equal the first one: all weights, slots and random states bit for bit, the
state of its checkpoint, the metrics of all windows; and the rows of its windows, read
once more from the stream, must be all rows, each exactly once.

On Kafka the offsets that the broker keeps for the trainer's group are set at random
between two lives, ahead of the checkpoint or behind it: the checkpoint alone may count.

Each life is forked from a process that has imported TensorFlow, to save the import.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.streaming.kill_sets import examples_of, write_job, write_sets
from configs.job import Job
from configs.layout import IDS
from configs.loading import load_job
from trainer.checkpoint import Checkpoints

__all__ = ["TIMED", "main", "prove"]

TIMED = (
    "lag_rows",
    "away_s",
    "freshness_s",
    "arrival_s",
    "rows_per_second",
    "waited_s",
)
"""What a window's line says of the clock."""

PARTITIONS = 4
TOPIC = "examples"

_LONGEST_LIFE = 0.8
"""Seconds between the first new window of a life and the kill, at most."""

_EARLY = 0.2
"""Share of the kills that fall anywhere in a start, before a new window."""

_LIMIT_SECONDS = 900.0


def prove(
    folder: Path,
    *,
    kills: int,
    rows: int,
    servers: str | None = None,
    topic: str = TOPIC,
    seed: int = 1,
) -> dict[str, Any]:
    """Runs the proof under `folder`.

    Args:
        folder: empty.
        kills: how often the trainer is killed.
        rows: of the stream.
        servers: brokers of Kafka; the stream is a folder unless given.
        topic: with `PARTITIONS` partitions, empty.
        seed: of rows, moments and offsets.

    Returns:
        What was done and found; `equal` says whether everything held.

    Raises:
        RuntimeError: if a life ends by itself with an error.
    """
    examples = examples_of(rows, seed)
    overrides: list[str] = []
    disturb: Callable[[np.random.Generator], None] = _nothing
    if servers is not None:
        _fill_topic(servers, topic, examples)
        overrides = [
            f"stream.kafka={{servers: '{servers}'}}",
            f"stream.examples_topic={topic}",
        ]
        disturb = _offsets_disturber(servers, topic, len(examples))
    file = write_job(folder, *overrides)
    sets = write_sets(load_job(file), examples, seed)
    whole, killed = folder / "whole", folder / "killed"
    began = time.monotonic()
    memory = _Life(file, whole, folder / "whole.log").wait()
    alone = time.monotonic() - began
    moments = _kill_and_go_on(file, killed, folder, kills, seed, disturb)
    found = _compare(file, whole, killed, rows)
    return {
        "source": "folder" if servers is None else "kafka",
        "rows": rows,
        "sets": sets,
        "windows": len(_windows(whole)),
        "kills": sum(moments.values()),
        "moments": dict(moments),
        "seconds_alone": round(alone, 1),
        "memory_alone_mib": _quarters(memory),
        "seconds": round(time.monotonic() - began, 1),
        **found,
    }


class _Life:
    """A trainer in a process of its own, forked from one that has TensorFlow."""

    def __init__(
        self, file: Path, run: Path, log: Path, *, until_end: bool = True
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["trainer.stream.train", __name__])
        self.log = log
        arguments = ["stream", str(file), "--set", f"data.run={run}"]
        arguments += ["--until-end"] * until_end
        self._process = context.Process(target=_main, args=(arguments, str(log)))
        self._process.start()

    @property
    def ended(self) -> bool:
        return self._process.exitcode is not None

    def kill(self) -> bool:
        """Kills it; returns whether it was still alive."""
        if self._process.pid is None or self.ended:
            return False
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        return self._process.exitcode == -signal.SIGKILL

    def wait(self) -> list[float]:
        """Waits for its end; returns its resident memory in MiB over its life.

        Raises:
            RuntimeError: if it was not a good one.
        """
        ends, memory = time.monotonic() + _LIMIT_SECONDS, []
        while not self.ended and time.monotonic() < ends:
            memory += _resident_mib(self._process.pid)
            self._process.join(0.5)
        if self._process.exitcode != 0:
            self.kill()
            raise RuntimeError(
                f"the trainer ended with {self._process.exitcode}:"
                f" {self.log.read_text()[-3000:]}"
            )
        return memory


def _resident_mib(pid: int | None) -> list[float]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []  # it has ended
    return [int(x.split()[1]) / 1024 for x in status.splitlines() if "VmRSS" in x]


def _quarters(values: list[float]) -> list[int]:
    """Returns the values at each quarter of the time, from the first to the last."""
    if not values:
        return []
    return [round(values[(len(values) - 1) * k // 4]) for k in range(5)]


def _main(arguments: list[str], log: str) -> None:
    with open(log, "a", encoding="utf-8", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from trainer.cli import main as trainer

    status = trainer(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a clean teardown proves nothing


def _kill_and_go_on(
    file: Path,
    run: Path,
    folder: Path,
    kills: int,
    seed: int,
    disturb: Callable[[np.random.Generator], None],
) -> Counter[str]:
    """Kills lives until there were enough, lets the last one end; returns how many
    were killed at which moments."""
    random = np.random.default_rng(seed)
    moments: Counter[str] = Counter()
    start = 3.0
    while sum(moments.values()) < kills:
        life = _Life(file, run, folder / "killed.log")
        began, progress = time.monotonic(), _Progress(run)
        if random.random() < _EARLY:
            ends = began + random.random() * start
            while time.monotonic() < ends:
                progress.look()
                time.sleep(0.005)
        else:
            while not progress.look() and not life.ended:
                if time.monotonic() - began > _LIMIT_SECONDS:
                    raise RuntimeError(f"no window: {life.log.read_text()[-3000:]}")
                time.sleep(0.005)
            start = 0.5 * start + 0.5 * (time.monotonic() - began)
            time.sleep(random.random() * _LONGEST_LIFE)
        if not life.kill():
            life.wait()
            break  # the stream is learned to its end
        moments[_moment(run, begun=progress.look())] += 1
        disturb(random)
    _Life(file, run, folder / "killed.log").wait()
    return moments


class _Progress:
    """Sees whether a life has learned two windows: when it starts it writes its metrics
    anew without what is to be learned again, and then they grow. Behind the first
    window it spends a second on making a TensorBoard file, always at the same place."""

    def __init__(self, run: Path) -> None:
        self._file = run / "metrics.jsonl"
        self._last = sys.maxsize
        self._grown = 0

    def look(self) -> bool:
        try:
            size = self._file.stat().st_size
        except FileNotFoundError:
            size = 0
        self._grown += size > self._last
        self._last = size
        return self._grown >= 2


def _moment(run: Path, *, begun: bool) -> str:
    """Names what a killed life was doing, by what it left behind."""
    if any((run / "checkpoints").glob(".*.partial-*")):
        return "writing a checkpoint"
    if not begun:
        return "starting"
    noted = _last(run / "windows.jsonl")
    learned = _last(run / "metrics.jsonl")
    if noted is not None and noted != learned:
        return "scoring or learning a window"
    return "between windows"


def _last(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text("utf-8").splitlines()[-1])["window"])
    except (OSError, ValueError, IndexError, KeyError):
        return None  # half a line


def _compare(file: Path, whole: Path, killed: Path, rows: int) -> dict[str, Any]:
    first, second = _checkpoint(whole), _checkpoint(killed)
    names = first.keys() | second.keys()
    differing = sorted(n for n in names if first.get(n) != second.get(n))
    same_windows = _windows(whole) == _windows(killed)
    ids = _ids_of_windows(load_job(file), killed)
    once = sorted(ids) == list(range(rows))
    return {
        "tensors": len(first) - 1,
        "differing": differing,
        "same_metrics": same_windows,
        "every_id_once": once,
        "equal": not differing and same_windows and once,
    }


def _checkpoint(run: Path) -> dict[str, Any]:
    folder = Checkpoints(run / "checkpoints").find("last")
    reader = tf.train.load_checkpoint(str(folder / "variables"))
    names = reader.get_variable_to_shape_map()
    found = {name: reader.get_tensor(name).tobytes() for name in names}
    return found | {"state": json.loads((folder / "state.json").read_text("utf-8"))}


def _windows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return [
        {key: value for key, value in line.items() if key not in TIMED}
        for line in map(json.loads, lines)
        if line["kind"] == "window"
    ]


def _ids_of_windows(job: Job, run: Path) -> list[int]:
    """Reads the windows that a run has learned, to the very ends that it noted."""
    from trainer.stream.sources import source_of

    ids: list[int] = []
    with tempfile.TemporaryDirectory() as scratch:
        with source_of(job, Path(scratch), until_end=True) as source:
            source.open({})
            for line in _windows(run):
                window = None
                while window is None:
                    window = source.next_window(1.0, line["position"])
                for example in window.serialized.numpy():
                    features = tf.train.Example.FromString(example).features.feature
                    ids.append(features[IDS].int64_list.value[0])
    return ids


# Kafka.


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[str]:
    from scripts.kafka import Broker, make_topic

    with Broker(folder / "broker") as broker:
        make_topic(broker.servers, TOPIC, PARTITIONS)
        yield broker.servers


def _fill_topic(servers: str, topic: str, examples: list[tuple[int, bytes]]) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": servers, "acks": "all", "linger.ms": 5})
    for stamp, example in examples:
        # Uneven partitions: the merge by time has to wait now and then.
        partition = min(stamp * 7919 % 11, PARTITIONS - 1)
        while True:
            try:
                producer.produce(
                    topic, value=example, partition=partition, timestamp=stamp + 1
                )
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(60):
        raise RuntimeError("the broker did not take all messages")


def _offsets_disturber(
    servers: str, topic: str, rows: int
) -> Callable[[np.random.Generator], None]:
    from confluent_kafka import Consumer, TopicPartition

    def disturb(random: np.random.Generator) -> None:
        options = {"bootstrap.servers": servers, "group.id": "pairstream-trainer-kills"}
        consumer = Consumer(options)
        try:
            offsets = [
                TopicPartition(topic, p, int(random.integers(0, rows // 8)))
                for p in range(PARTITIONS)
            ]
            consumer.commit(offsets=offsets, asynchronous=False)
        finally:
            consumer.close()

    return disturb


def _nothing(random: np.random.Generator) -> None:
    """Disturbs nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", choices=["folder", "kafka"], default="folder")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="kept; a temporary one if absent")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        servers = None
        if arguments.source == "kafka":
            servers = stack.enter_context(_broker(folder))
        report = prove(
            folder,
            kills=arguments.kills,
            rows=arguments.rows,
            servers=servers,
            seed=arguments.seed,
        )
    print(json.dumps(report, indent=1))
    if arguments.folder is None and report["equal"]:
        shutil.rmtree(folder)
    raise SystemExit(0 if report["equal"] else 1)


if __name__ == "__main__":
    main()
