"""Sequences built of event logs, against a slow oracle and as a property."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from configs import Job, JobError
from preprocessing.histories import in_order, needed_later, recent
from tests.oracles import example_proto, point_in_time
from tests.preprocessing.making_jobs import (
    random_logs,
    run,
    small_job,
    write_lines,
    write_logs,
)

SEQUENCES = (
    "features.history={kind: sequence, from: click, max_length: 3, gap: 5ms, fields:"
    " {item: {shares: item}, device: {shares: device}, age: {kind: numeric, unit: ms},"
    " place: {kind: numeric, column: place, row: event}}}",
    "features.bought={kind: sequence, from: conversion, max_length: 2, fields:"
    " {item: {shares: item}, age: {kind: numeric, unit: s}}}",
    "features.read={kind: sequence, from: view, max_length: 4, fields:"
    " {item: {shares: item, column: page}, age: {kind: numeric, unit: ms}}}",
)


def history_job(root: Path, *overrides: str) -> Job:
    """The small job, its sequences built of clicks, conversions and views."""
    views = f"{{path: {root}/views.jsonl, user: who, time: at}}"
    return small_job(root, f"data.behaviours={{view: {views}}}", *SEQUENCES, *overrides)


def history_logs(seed: int) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Logs with ties, duplicates, late and unknown events; the last are views."""
    shown, clicks, conversions = random_logs(seed)
    rng = np.random.default_rng(seed)
    for record in shown:
        for name in ("history_item", "history_age"):
            del record[name]
    places = {click["click"]: n / 4 for n, click in enumerate(clicks)}
    clicks = [click | {"place": places[click["click"]]} for click in clicks]
    views = [
        {
            "who": int(rng.integers(8)),
            "at": int(rng.integers(0, 1200)) // 10 * 10,
            "page": "" if n % 9 == 0 else f"item {rng.integers(6)}",
        }
        for n in range(80)
    ]
    return shown, clicks, conversions, [*views, *views[:20]]


def write_history_logs(root: Path, logs: Any) -> None:
    """Writes the four logs."""
    write_logs(root, logs[:3])
    write_lines(root / "views.jsonl", logs[3])


def examples_by_id(job: Job, manifest: Any) -> dict[int, example_proto.Example]:
    """All examples, by the fingerprint of the impression."""
    return {
        example["ids"][0]: example
        for split in manifest.splits
        for example in example_proto.read_split(job.data.examples, manifest, split)
    }


def expected_histories(logs: Any) -> dict[int, dict[str, Any]]:
    """What the oracle says, by the fingerprint of the impression and key."""
    shown, clicks, conversions, views = logs
    users = point_in_time.behaviours(shown, clicks, conversions)
    seen: dict[int, list[point_in_time.Behaviour]] = {}
    for who, at, page in sorted({(v["who"], v["at"], v["page"]) for v in views}):
        if page:
            seen.setdefault(who, []).append((at, 0, {"item": page}))
    expected = {}
    for key, row in point_in_time.first_of_each(shown, "impression", "item").items():
        time, user = row["time"], row["user"]
        clicked = point_in_time.history(users["click"].get(user, []), time, 5, 3)
        bought = point_in_time.history(users["conversion"].get(user, []), time, 0, 2)
        read = point_in_time.history(seen.get(user, []), time, 0, 4)
        fingerprint = point_in_time.fingerprint
        expected[fingerprint(key)] = {
            "history/item": [fingerprint(v["item"]) for _, _, v in clicked],
            "history/device": [fingerprint(v["device"]) for _, _, v in clicked],
            "history/age": [time - t for t, _, _ in clicked],
            "history/place": [v["place"] for _, _, v in clicked],
            "bought/item": [fingerprint(v["item"]) for _, _, v in bought],
            "bought/age": [float(np.float32((time - t) / 1e3)) for t, _, _ in bought],
            # Views have no ids: those of one time are compared without order.
            "read": sorted((t - time, fingerprint(v["item"])) for t, _, v in read),
        }
    return expected


def found_histories(example: example_proto.Example) -> dict[str, Any]:
    """The sequences of an example, spelled as the oracle does."""
    found = {
        key.removeprefix("sequence/"): list(values)
        for key, values in example.items()
        if key.startswith("sequence/")
    }
    ages, items = found.pop("read/age"), found.pop("read/item")
    assert ages == sorted(ages, reverse=True)
    return found | {"read": sorted(zip((-a for a in ages), items, strict=True))}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_histories_equal_the_oracle(tmp_path: Path, seed: int) -> None:
    logs = history_logs(seed)
    # The last place of a history of views is not torn between views of one time.
    logs = (*logs[:3], _without_ties(logs[3]))
    write_history_logs(tmp_path, logs)
    job = history_job(tmp_path)
    manifest = run(job)
    examples = examples_by_id(job, manifest)
    expected = expected_histories(logs)
    assert len(examples) > 50
    for key, example in examples.items():
        assert found_histories(example) == expected[key]
    lengths = [len(e["sequence/history/item"]) for e in examples.values()]
    assert min(lengths) == 0 and max(lengths) == 3
    assert max(len(e["sequence/bought/item"]) for e in examples.values()) > 0
    counters = manifest.counters
    assert counters["features.history.older_behaviours"] > 0
    assert counters["behaviours.view.read"] == len(logs[3])
    assert counters["behaviours.view.duplicates"] == 20
    _check_golden(Path(job.data.examples))


def _without_ties(views: list[Any]) -> list[Any]:
    spread = [view | {"at": view["at"] + n % 10} for n, view in enumerate(views[:-20])]
    return [*spread, *spread[:20]]


def _check_golden(folder: Path) -> None:
    """The raw golden rows have the histories too, as text."""
    rows = [json.loads(line) for line in (folder / "golden/rows.jsonl").open()]
    dataset = tf.data.TFRecordDataset(str(folder / "golden/examples.tfrecord"))
    encoded = map(example_proto.parse, dataset.as_numpy_iterator())
    for row, example in zip(rows, encoded, strict=True):
        items = [point_in_time.fingerprint(text) for text in row["history_item"]]
        assert items == list(example["sequence/history/item"])
        assert row["history_age"] == list(example["sequence/history/age"])
    assert any(row["history_item"] for row in rows)


def test_order_of_logs_and_blocks_does_not_matter(tmp_path: Path) -> None:
    logs = history_logs(3)
    write_history_logs(tmp_path, logs)
    job = history_job(tmp_path)
    first = [shard.sha256 for shard in run(job).splits["train"].shards]
    write_history_logs(tmp_path, tuple(log[::-1] for log in logs))
    again = run(job, block_bytes=3000).splits["train"].shards
    assert [shard.sha256 for shard in again] == first


@pytest.mark.parametrize("broadcast", [0, 1_000_000])
def test_behaviours_have_what_side_tables_say(tmp_path: Path, broadcast: int) -> None:
    write_logs(tmp_path, random_logs(5))
    items = [{"item": f"item {n}", "kind": f"kind {n % 2}"} for n in range(4)]
    write_lines(tmp_path / "items.jsonl", items)
    job = small_job(
        tmp_path,
        f"data.tables={{items: {{path: {tmp_path}/items.jsonl, key: item}}}}",
        "features.kind={kind: categorical, table: items, embedding: {buckets: 5}}",
        "features.history={kind: sequence, from: click, max_length: 9, fields: {item:"
        " {shares: item}, kind: {shares: kind}}}",
        f"preprocessing.broadcast_bytes={broadcast}",
    )
    kinds = {item["item"]: item["kind"] for item in items} | {"item 4": ""}
    expected = {
        point_in_time.fingerprint(item): point_in_time.fingerprint(kind)
        for item, kind in kinds.items()
    }
    seen: set[int] = set()
    for example in examples_by_id(job, run(job)).values():
        found = example["sequence/history/item"]
        assert example["sequence/history/kind"] == [expected[item] for item in found]
        seen |= set(found)
    assert seen == set(expected)


times = st.integers(0, 12)
events = st.lists(st.tuples(st.integers(0, 3), times), max_size=30)
questions = st.lists(st.tuples(st.integers(0, 4), times), min_size=1, max_size=10)


@settings(max_examples=150, deadline=None)
@given(events, questions, st.integers(0, 4), st.integers(1, 4))
def test_nobody_sees_what_is_not_before(events, questions, gap, max_length):
    table = in_order(
        pa.table(
            {
                "user": pa.array([user for user, _ in events], pa.int64()),
                "time": pa.array([time for _, time in events], pa.int64()),
                "tie": pa.array([n * 7 % 5 for n in range(len(events))], pa.uint64()),
                "number": pa.array(range(len(events)), pa.int64()),
            }
        )
    )
    users, asked = np.array(questions, np.int64).T
    found = recent(table, users, asked - gap, max_length)
    numbers = table["number"].to_pylist()
    for place, (user, time) in enumerate(questions):
        own = found.places[found.offsets[place] : found.offsets[place + 1]]
        got = [numbers[row] for row in own]
        assert all(events[n][0] == user and events[n][1] < time - gap for n in got)
        before = [n for n, (u, t) in enumerate(events) if u == user and t < time - gap]
        before.sort(key=lambda n: (events[n][1], n * 7 % 5))
        # Numbers of one time and tie may stand in any order.
        assert [_key(events, n) for n in got] == [
            _key(events, n) for n in before[-max_length:]
        ]
        assert found.older[place] == max(0, len(before) - max_length)
    if len(events):
        horizon = int(asked.min()) - gap
        kept = table.filter(pa.array(needed_later(table, horizon, max_length)))
        later = recent(kept, users, asked - gap, max_length)
        assert kept.take(later.places)["number"] == table.take(found.places)["number"]


def _key(events: list[tuple[int, int]], number: int) -> tuple[int, int]:
    return events[number][1], number * 7 % 5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("features.history.from=clicks", "Did you mean 'click'?"),
        ("features.history.gap=5", "expected a duration"),
        ("features.history.fields.item={embedding: {buckets: 5}}", "in which column"),
        ("features.history.fields.age={kind: numeric, row: event}", "is the age"),
        ("features.read.fields.item.row=impression", "answer no impression"),
        ("features.history.from=log", "'row' and 'unit' are for sequences"),
        ("ids.user=null", "whose events"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, override: str, words: str):
    with pytest.raises(JobError, match=words.replace("?", r"\?")):
        history_job(tmp_path, override)
