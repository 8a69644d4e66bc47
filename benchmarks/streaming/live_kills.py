"""Kills a trainer on a live topic, whose broker crashes and which gets partitions, and
proves that what was learned is what a replay of its journal learns.

    python -m benchmarks.streaming.live_kills [--kills 20] [--rows 12000]

Rows are produced in bursts while trainers are ended by `kill -9` and started again. The
clock closes windows, so what one holds depends on the moment: the journal says what it
was. At the end another run begins with the first checkpoint and that journal, and is
left alone. All tensors, the state and the metrics of all windows must be equal bit for
bit, and the rows of the windows must be all rows that were produced, each once.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from benchmarks.streaming.kill_sets import examples_of, write_job, write_sets
from benchmarks.streaming.kills import TOPIC, _compare, _Life, _moment, _windows
from configs.loading import load_job
from scripts.kafka import Broker, make_topic

__all__ = ["main", "prove"]

FIRST_PARTITIONS, LAST_PARTITIONS = 2, 4

_LIVE = (
    "stream.train.window_wait=500ms",
    "training.keep_checkpoints=100000",
    "stream.train.checkpoint_windows=5",
)


def prove(folder: Path, *, kills: int, rows: int, seed: int = 1) -> dict[str, Any]:
    """Runs the proof under `folder`; `equal` says whether everything held."""
    random = np.random.default_rng(seed)
    with Broker(folder / "broker") as broker:
        make_topic(broker.servers, TOPIC, FIRST_PARTITIONS)
        file = write_job(
            folder,
            *_LIVE,
            f"stream.kafka={{servers: '{broker.servers}'}}",
            f"stream.examples_topic={TOPIC}",
        )
        examples = examples_of(rows, seed)
        write_sets(load_job(file), examples[:2000], seed)
        live, replayed = folder / "live", folder / "replayed"
        world = _World(broker, examples, seed)
        world.start()
        killed, moments = 0, []
        while world.is_alive() or killed < kills:
            life = _Life(file, live, folder / "live.log", until_end=False)
            before, began = _lines(live), time.monotonic()
            limit = random.random() * 100.0  # some are killed while they start
            while _lines(live) <= before and time.monotonic() - began < limit:
                time.sleep(0.02)
            time.sleep(random.random() * 6.0)
            moment = _moment(live, begun=_lines(live) > before)
            if not life.kill():
                life.wait()
            moments.append(moment)
            killed += 1
        world.join()
        _Life(file, live, folder / "live.log").wait()
        _first_checkpoint_of(live, replayed)
        _Life(file, replayed, folder / "replayed.log").wait()
        sizes = [line["rows"] for line in _windows(live)]
        return {
            "rows": rows,
            "kills": killed,
            "moments": {name: moments.count(name) for name in sorted(set(moments))},
            "broker crashes": world.crashes,
            "partitions": [FIRST_PARTITIONS, LAST_PARTITIONS],
            "windows": len(sizes),
            "windows closed by the clock": sum(size < max(sizes) for size in sizes),
            **_compare(file, live, replayed, rows),
        }


class _World(threading.Thread):
    """Produces rows in bursts; meanwhile the topic grows and the broker crashes."""

    def __init__(
        self, broker: Broker, examples: list[tuple[int, bytes]], seed: int
    ) -> None:
        super().__init__(daemon=True)
        self.crashes = 0
        self._broker = broker
        self._examples = examples
        self._random = np.random.default_rng(seed + 1)
        self._partitions = FIRST_PARTITIONS

    def run(self) -> None:
        first, events = 0, [self._grow, self._crash, self._crash]
        count = len(self._examples)
        while first < count:
            size = int(self._random.integers(1, 400))
            self._produce(self._examples[first : first + size])
            first += size
            if events and first > count * (4 - len(events)) / 4:
                events.pop(0)()
            time.sleep(float(self._random.exponential(4.0)))

    def _produce(self, burst: list[tuple[int, bytes]]) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._broker.servers,
                "enable.idempotence": True,
                "log_level": 2,
            }
        )
        for stamp, example in burst:
            # Out of order by half a second, as from several writers.
            late = stamp + int(self._random.integers(0, 500))
            partition = int(self._random.integers(0, self._partitions))
            producer.produce(TOPIC, example, partition=partition, timestamp=late + 1)
            producer.poll(0)
        if producer.flush(120):
            raise RuntimeError("the broker did not take all messages")

    def _grow(self) -> None:
        admin = AdminClient({"bootstrap.servers": self._broker.servers})
        asked = admin.create_partitions([NewPartitions(TOPIC, LAST_PARTITIONS)])
        asked[TOPIC].result(30)
        self._partitions = LAST_PARTITIONS

    def _crash(self) -> None:
        self._broker.kill()
        time.sleep(1.0)
        self._broker.start()
        self.crashes += 1


def _lines(run: Path) -> int:
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _first_checkpoint_of(run: Path, copy: Path) -> None:
    """Copies a run as it was before its first window, but for its journal."""
    shutil.copytree(run, copy)
    first, *others = sorted((copy / "checkpoints").iterdir())
    for other in others:
        shutil.rmtree(other)
    state = json.loads((first / "state.json").read_text(encoding="utf-8"))
    if state["step"]:
        raise RuntimeError("the first checkpoint is gone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="kept; a temporary one if absent")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="live-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    report = prove(
        folder, kills=arguments.kills, rows=arguments.rows, seed=arguments.seed
    )
    print(json.dumps(report, indent=1))
    if arguments.folder is None and report["equal"]:
        shutil.rmtree(folder)
    raise SystemExit(0 if report["equal"] else 1)


if __name__ == "__main__":
    main()
