"""Streams whose labels come late, from logs to example sets, against the walk."""

import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import DataError
from configs.job import Job
from configs.layout import layout_of
from configs.manifest import read_manifest
from configs.stream_sets import stream_sets
from preprocessing.encoding import fingerprints
from preprocessing.stream.driver import StreamingJoin
from preprocessing.stream.state import State
from tests.oracles import example_proto
from tests.oracles import observations as oracle
from tests.preprocessing.making_jobs import impression, small_job, write_logs
from tests.preprocessing.stream.making_streams import read_all
from tests.preprocessing.stream.test_micro_batches import check_balance
from trainer.inputs.example_set import check_fits
from trainer.inputs.examples import parse_examples

WINDOWS = {"click": oracle.Label(100), "conversion": oracle.Label(300, "click")}
OBSERVE = 20
LATENESS = 10
NOW = 10_000
KEYS = {"labels", "event_kind", "label_kinds", "elapsed", "negative_keep_rate"}
HISTORY = (
    "features.history={kind: sequence, from: click, max_length: 3,"
    " fields: {item: {shares: item}}}"
)

Rows = dict[int, list[tuple[oracle.Row, dict[str, Any]]]]
"""By fingerprint of the impression: rows in the order in which they left, and their
other values."""


def late_job(root: Path, *overrides: str, records: int = 10_000) -> Job:
    return small_job(
        root,
        "preprocessing.split={by: hash, validation: 0.0, test: 0.0}",
        "preprocessing.golden_rows=0",
        f"stream={{join: {{state: {root}/state, lateness: {LATENESS}ms,"
        f" observe: {OBSERVE}ms, max_records: {records}}}}}",
        *overrides,
    )


def logs(seed: int, impressions: int) -> Any:
    """Logs in about the order of time: no record is later than `LATENESS`."""
    chance = random.Random(seed)  # noqa: S311 (a test's)
    shown = [impression(n, chance.randrange(0, 900)) for n in range(impressions)]
    clicks, conversions = [], []
    for number, record in enumerate(shown):
        for again in range(chance.choice([0, 1, 1, 2])):
            delay = chance.choice([0, 5, OBSERVE, 21, 50, 99, 100, 101])
            click = f"c{number}.{again}"
            clicked = record["time"] + delay
            clicks.append(
                {"click": click, "impression": record["impression"], "time": clicked}
            )
            for more in range(chance.choice([0, 1, 2])):
                delay = chance.choice([0, 1, 60, 150, 250, 300])
                conversions.append(
                    {
                        "conversion": f"v{click}.{more}",
                        "click": click,
                        "time": clicked + delay,
                    }
                )
    shown += chance.sample(shown, impressions // 10)
    for log in (shown, clicks, conversions):
        log.sort(key=lambda r: r["time"] + chance.randrange(LATENESS))
    # The last one says that all of the above is over.
    shown.append(impression(impressions, 2_500))
    return shown, clicks, conversions


def streamed(job: Job) -> StreamingJoin:
    """Joins all that has arrived, each micro-batch by a process of its own."""
    state = State(job.stream.join.state)  # type: ignore[union-attr]
    with state.locked():
        while True:
            join = StreamingJoin(job, state, clock=lambda: NOW)
            if join.step() is None:
                return join


def rows_of(job: Job) -> Rows:
    found: Rows = defaultdict(list)
    for path in stream_sets(Path(job.data.examples)).values():
        for example in example_proto.read_split(path, read_manifest(path), "train"):
            row = (
                example["elapsed"][0],
                example["event_kind"][0],
                tuple(example["label_kinds"]),
                tuple(int(label) for label in example["labels"]),
            )
            values = {k: v for k, v in example.items() if k not in KEYS}
            found[example["ids"][0]].append((row, values))
    return found


def expected(written: Any, end: int) -> dict[int, list[oracle.Row]]:
    """The walk of each impression that is known by the end."""
    shown, clicks, conversions = written
    named = {record["impression"]: record for record in shown}
    clicked = {click["click"]: click["impression"] for click in clicks}
    events: Any = {key: {"click": [], "conversion": []} for key in named}
    for click in clicks:
        events[click["impression"]]["click"].append(click["time"])
    for conversion in conversions:
        key = clicked[conversion["click"]]
        events[key]["conversion"].append(conversion["time"])
    ids = fingerprints(tf.constant(list(named))).numpy().tolist()
    walks = {
        number: oracle.rows_of(WINDOWS, record["time"], {}, events[key], OBSERVE, end)
        for number, (key, record) in zip(ids, named.items(), strict=True)
    }
    return {number: rows for number, rows in walks.items() if rows}


def told(found: Rows) -> dict[int, list[oracle.Row]]:
    return {number: [row for row, _ in rows] for number, rows in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [(), (HISTORY,)])
def test_rows_are_those_of_the_walk_however_small_the_micro_batches(
    tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    written, batches = logs(0, 60), set()
    for records in (10_000, 40):
        root = tmp_path / str(records)
        root.mkdir()
        write_logs(root, written)
        job = late_job(root, *overrides, records=records)
        join = streamed(job)
        found = rows_of(job)
        assert join.commit is not None and join.commit.watermark is not None
        walks = expected(written, join.commit.watermark)
        assert told(found) == walks
        # What is shown of an impression stays the same in all of its rows.
        for rows in found.values():
            assert len({repr(sorted(values.items())) for _, values in rows}) == 1
        batches.add(join.commit.batch)
        kinds = [row[1] for rows in walks.values() for row in rows]
        sums = defaultdict[str, int](int)
        for path in stream_sets(Path(job.data.examples)).values():
            for name, count in read_manifest(path).counters.items():
                sums[name] += count
        names = ("first", "late_positive", "real_negative")
        for kind, name in enumerate(names):
            assert sums[f"streams.rows.{name}"] == kinds.count(kind) > 0
        assert sums["impressions.kept"] == kinds.count(oracle.FIRST)
        positives = Counter[str]()
        for path in stream_sets(Path(job.data.examples)).values():
            positives.update(read_manifest(path).splits["train"].positives)
        finals = [rows[-1][3] for rows in walks.values()]
        clicks, bought = (sum(column) for column in zip(*finals, strict=True))
        assert positives == {"click": clicks, "conversion": bought}
    assert len(batches) == 2


@pytest.mark.slow
def test_sampling_keeps_positives_and_one_fate_of_negatives(tmp_path: Path) -> None:
    written = logs(1, 150)
    write_logs(tmp_path, written)
    rate = "preprocessing.sampling.negative_keep_rate=0.4"
    job = late_job(tmp_path, rate)
    join = streamed(job)
    assert join.commit is not None and join.commit.watermark is not None
    walks = expected(written, join.commit.watermark)
    found = told(rows_of(job))
    fates, revived = [], 0
    for number, walk in walks.items():
        rows = found.get(number, [])
        positives = [row for row in walk if row[3][0] == 1]
        negatives = [row for row in walk if row[3][0] == 0]
        assert [row for row in rows if row[3][0] == 1] == positives
        left = [row for row in rows if row[3][0] == 0]
        assert left in ([], negatives)
        if negatives:
            fates.append(bool(left))
            revived += bool(positives) and not left
    assert revived > 0
    assert np.mean(fates) == pytest.approx(0.4, abs=0.12)


@pytest.mark.slow
def test_real_negatives_can_be_left_out(tmp_path: Path) -> None:
    written = logs(2, 40)
    write_logs(tmp_path, written)
    tasks = "model.tasks={click: {observations: fnw}}"
    job = late_job(tmp_path, "stream.join.real_negatives=false", tasks)
    join = streamed(job)
    assert join.commit is not None and join.commit.watermark is not None
    walks = expected(written, join.commit.watermark)
    for number, rows in walks.items():
        walks[number] = [row for row in rows if row[1] != oracle.REAL_NEGATIVE]
    assert told(rows_of(job)) == walks


def test_examples_are_parsed_and_a_changed_wait_is_refused(tmp_path: Path) -> None:
    write_logs(tmp_path, logs(3, 20))
    job = late_job(tmp_path)
    streamed(job)
    rows = [
        record
        for path in stream_sets(Path(job.data.examples)).values()
        for shard in read_manifest(path).splits["train"].shards
        for record in tf.data.TFRecordDataset(str(path / shard.path))
    ]
    batch = parse_examples(tf.stack(rows), layout_of(job))
    told_rows = [row for found in told(rows_of(job)).values() for row in found]
    assert sorted(batch["elapsed"].numpy().tolist()) == sorted(r[0] for r in told_rows)
    kinds = sorted(map(tuple, batch["label_kinds"].numpy().tolist()))
    assert kinds == sorted(row[2] for row in told_rows)
    path = next(iter(stream_sets(Path(job.data.examples)).values()))
    check_fits(read_manifest(path), job, folder=str(path))
    at_once = late_job(tmp_path, "stream.join={state: other}")
    with pytest.raises(DataError, match=r"several rows.*set stream\.join\.observe"):
        check_fits(read_manifest(path), at_once, folder=str(path))
    other = late_job(tmp_path, "stream.join.observe=30ms")
    with pytest.raises(DataError, match=r"stream\.join\.observe"):
        streamed(other)


@pytest.mark.slow
def test_every_record_has_one_fate_also_behind_the_watermark(tmp_path: Path) -> None:
    """Records come some micro-batches late, and some long after their windows."""
    shown, clicks, conversions = logs(4, 60)
    chance = random.Random(5)  # noqa: S311 (a test's)
    job = late_job(tmp_path, "stream.join.memory=400ms")
    names = ("impressions", "clicks", "conversions")
    files = [tmp_path / f"{name}.jsonl" for name in names]
    arrival = [
        [(r["time"] + chance.choice([0, 5, 40, 130, 500]), r) for r in log]
        for log in (shown, clicks, conversions)
    ]
    total = Counter[str]()
    for moment in (*range(50, 1_400, 90), 10_000):
        for file, log in zip(files, arrival, strict=True):
            with open(file, "a") as sink:
                for _, record in [pair for pair in log if pair[0] <= moment]:
                    sink.write(json.dumps(record) + "\n")
            log[:] = [pair for pair in log if pair[0] > moment]
        for manifest in read_all(job):
            check_balance(manifest)
            total.update(manifest.counters)
    assert total["events.click.too_late"] > 0
    for rows in rows_of(job).values():
        assert [row[1] for row, _ in rows].count(oracle.FIRST) == 1
        for column in range(2):
            values = [row[3][column] for row, _ in rows]
            kinds = [row[2][column] for row, _ in rows]
            news = [k for k in kinds if k not in (oracle.FIRST, oracle.REPEATED)]
            assert values == sorted(values) and len(news) == 1


@pytest.mark.slow
def test_a_stream_of_late_labels_is_learned_and_scored_once(tmp_path: Path) -> None:
    """From logs to metrics: each label is scored in the row that settles it."""
    from trainer.stream.train import train_on_stream

    written = logs(0, 150)
    write_logs(tmp_path, written)
    job = late_job(
        tmp_path,
        "model.tasks={click: {observations: fnw, losses: [{name: combined_pair}]},"
        " conversion: {given: click, observations: fnw}}",
        "training.batch_size=64",
        "stream.train.window_rows=256",
        records=200,
    )
    join = streamed(job)
    assert join.commit is not None and join.commit.watermark is not None
    train_on_stream(job, until_end=True)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    windows = [w for w in map(json.loads, lines) if w["kind"] == "window"]
    assert len(windows) > 1
    walks = expected(written, join.commit.watermark).values()
    finals = [walk[-1][3] for walk in walks]
    assert sum(w["rows"] for w in windows) == sum(map(len, walks))
    clicks = [w["tasks"]["click"] for w in windows]
    assert sum(task["rows"] for task in clicks) == len(finals)
    assert sum(task["positives"] for task in clicks) == sum(y for y, _ in finals)
    # The last impression's purchase is open still.
    bought = [w["tasks"]["conversion"] for w in windows]
    assert sum(task["rows"] for task in bought) == sum(y for y, _ in finals)
    assert sum(task["positives"] for task in bought) == sum(y for _, y in finals)
