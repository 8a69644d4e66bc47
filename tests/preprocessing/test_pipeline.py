"""The whole job against slow oracles, on random logs."""

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs.layout import FINGERPRINT_RANGE
from configs.manifest import Manifest, read_statistics
from preprocessing.check import check_examples
from tests.oracles import example_proto, label_join
from tests.preprocessing.making_jobs import (
    impression,
    random_logs,
    run,
    small_job,
    write_logs,
)


def _fingerprint(text: str) -> int:
    return int(tf.strings.to_hash_bucket_fast([text], FINGERPRINT_RANGE)[0])


def _examples(job: Any, manifest: Manifest) -> dict[str, list[example_proto.Example]]:
    return {
        split: list(example_proto.read_split(job.data.examples, manifest, split))
        for split in manifest.splits
    }


def _bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("seed", range(4))
def test_labels_and_counters_equal_the_oracle(tmp_path: Path, seed: int) -> None:
    logs = random_logs(seed)
    write_logs(tmp_path, logs)
    job = small_job(tmp_path)
    manifest = run(job)
    expected = label_join.join(*logs, click_window=100, conversion_window=300)
    found = {}
    for examples in _examples(job, manifest).values():
        for example in examples:
            found[example["ids"][0]] = (example["labels"], example["event_time"][0])
    assert found == {
        _fingerprint(key): (
            [labels["click"], labels["conversion"]],
            expected.times[key],
        )
        for key, labels in expected.labels.items()
    }
    names = {"impressions": "impressions"}
    names |= {n: f"events.{n}" for n in ("click", "conversion")}
    for name, count in expected.counts.items():
        log, _, what = name.partition(".")
        source = manifest.dead_letters if what == "orphan" else manifest.counters
        assert source[f"{names[log]}.{what}"] == count, name
    _check_balance(manifest)


def _check_balance(manifest: Manifest) -> None:
    """Every record that was read is kept, or has one named loss."""
    losses: Counter[str] = Counter()
    for name, count in {**manifest.counters, **manifest.dead_letters}.items():
        log, _, what = name.rpartition(".")
        if what != "read" and not name.startswith("features."):
            losses[log] += count
    for log, count in losses.items():
        assert manifest.counters[f"{log}.read"] == count, log
    kept = sum(split.rows for split in manifest.splits.values())
    assert manifest.counters["impressions.kept"] == kept


def test_runs_and_block_sizes_give_the_same_bytes(tmp_path: Path) -> None:
    logs = random_logs(5)
    logs[0].insert(7, "garbage")  # type: ignore[arg-type]
    logs[0].insert(70, {"impression": "i900"})
    write_logs(tmp_path, logs)
    job = small_job(tmp_path, "preprocessing.sampling.negative_keep_rate=0.5")
    run(job)
    first = _bytes_of(Path(job.data.examples))
    run(job, block_bytes=1500)
    assert _bytes_of(Path(job.data.examples)) == first
    assert any(name.startswith("dead_letters/") for name in first)


def test_order_of_the_logs_does_not_matter(tmp_path: Path) -> None:
    logs = random_logs(6)
    write_logs(tmp_path, logs)
    job = small_job(tmp_path)
    run(job)
    first = _bytes_of(Path(job.data.examples))
    write_logs(tmp_path, tuple(log[::-1] for log in logs))  # type: ignore[arg-type]
    run(job)
    assert _bytes_of(Path(job.data.examples)) == first


def test_rows_of_a_request_are_adjacent(tmp_path: Path) -> None:
    write_logs(tmp_path, random_logs(7))
    job = small_job(tmp_path, "preprocessing.split={by: hash, key: request}")
    for examples in _examples(job, run(job)).values():
        assert _is_adjacent([example["ids"][3] for example in examples])


def _is_adjacent(ids: list[int]) -> bool:
    changes = sum(a != b for a, b in pairwise(ids))
    return changes == max(len(set(ids)) - 1, 0)


SESSIONS = (
    "ids.session=session",
    "preprocessing.split={by: hash, key: session}",
    "preprocessing.buckets=3",
)


def _logs_with_sessions(seed: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Logs in which the rows of a session lie far from each other."""
    shown, clicks, conversions = random_logs(seed)
    for record in shown:
        number = int(record["request"].removeprefix("r"))
        record["session"] = f"s{number % 5 if number % 2 else number}"
    return shown, clicks, conversions


@pytest.mark.parametrize(
    ("context", "column"), [("session", 4), ("user", 1), ("request", 3)]
)
def test_rows_of_the_context_of_a_loss_are_adjacent(
    tmp_path: Path, context: str, column: int
) -> None:
    write_logs(tmp_path, _logs_with_sessions(7))
    job = small_job(
        tmp_path,
        *SESSIONS,
        f"preprocessing.split.key={context}",
        f"model.tasks.click.losses=[{{name: combined_pair, context: {context}}}]",
    )
    manifest = run(job)
    assert manifest.adjacent == context
    splits = _examples(job, manifest)
    for examples in splits.values():
        assert _is_adjacent([example["ids"][column] for example in examples])
        by_context: dict[int, list[int]] = {}
        for example in examples:
            by_context.setdefault(example["ids"][column], []).append(example["ids"][3])
        if context == "session":  # whose requests stay whole inside it
            assert all(map(_is_adjacent, by_context.values()))
    seen = [{example["ids"][column] for example in s} for s in splits.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)), "a context in two splits"
    check_examples(job.data.examples)


def test_adjacent_can_be_asked_for_without_a_loss(tmp_path: Path) -> None:
    write_logs(tmp_path, _logs_with_sessions(7))
    job = small_job(tmp_path, *SESSIONS, "preprocessing.adjacent=session")
    manifest = run(job)
    assert manifest.adjacent == "session"
    first = _bytes_of(Path(job.data.examples) / "train")
    loss = "model.tasks.click.losses=[{name: ranknet, context: session}]"
    run(small_job(tmp_path, *SESSIONS, loss))
    assert _bytes_of(Path(job.data.examples) / "train") == first


def test_shards_end_where_a_context_does(tmp_path: Path) -> None:
    write_logs(tmp_path, _logs_with_sessions(7))
    sessions = small_job(tmp_path, *SESSIONS, "preprocessing.adjacent=session")
    plain = _examples(sessions, run(sessions))
    limit = 20
    largest = max(
        Counter(e["ids"][4] for s in plain.values() for e in s).values(), default=0
    )
    assert 1 < largest <= limit
    job = small_job(
        tmp_path,
        *SESSIONS,
        "preprocessing.adjacent=session",
        f"preprocessing.rows_per_shard={limit}",
    )
    manifest = run(job)
    assert repr(_examples(job, manifest)) == repr(plain)
    folder = Path(job.data.examples)
    for split in manifest.splits.values():
        sessions_of = []
        for shard in split.shards:
            assert shard.rows <= limit
            records = tf.data.TFRecordDataset(str(folder / shard.path))
            examples = map(example_proto.parse, records.as_numpy_iterator())
            sessions_of.append({example["ids"][4] for example in examples})
        assert len(sessions_of) > 1 or split.rows <= limit
        assert sum(map(len, sessions_of)) == len(set().union(*sessions_of))
    single = small_job(
        tmp_path,
        *SESSIONS,
        "preprocessing.adjacent=session",
        "preprocessing.rows_per_shard=1",
    )
    assert {s.rows for x in run(single).splits.values() for s in x.shards} == {1}


def test_features_of_one_row(tmp_path: Path) -> None:
    shown = [
        impression(
            1,
            0,
            user="007",
            device=None,
            tags=["a", "", "a", "b"],
            price=None,
            vector=None,
            history_item=["p", None, "q", "r", "s"],
            history_age=[5, 4, None, 2, 1],
        ),
        impression(2, 10_000),
    ]
    clicks = [{"click": "c", "impression": "i1", "time": 100}]
    conversions = [{"conversion": "v", "click": "c", "time": 300}]
    write_logs(tmp_path, (shown, clicks, conversions))
    job = small_job(tmp_path, "preprocessing.split={by: time, train: {from: 0}}")
    manifest = run(job)
    [example] = _examples(job, manifest)["train"]
    ages = example.pop("sequence/history/age")
    [price] = example.pop("numeric")
    assert np.isnan(ages[0]) and ages[1:] == [2, 1] and np.isnan(price)
    truth = example.pop("truth")
    assert truth[0] == 0.25 and np.isnan(truth[1])
    assert example == {
        "labels": [1, 1],
        "ids": [_fingerprint(t) for t in ("i1", "007", "item 1", "r0")],
        "event_time": [0],
        "event_kind": [0],
        "negative_keep_rate": [1],
        "categorical": [_fingerprint(t) for t in ("7", "item 1", "")],
        "dense": [0, 0],
        "multi_valued/tags": [_fingerprint("a")] * 2,
        "sequence/history/item": [_fingerprint(t) for t in ("q", "r", "s")],
    }
    counters = manifest.counters
    assert counters["features.tags.truncated_values"] == 1
    assert counters["features.history.incomplete_behaviours"] == 1
    # One in i1; i2 has two behaviours.
    assert counters["features.history.older_behaviours"] == 1


def test_sampling_keeps_positives_and_a_share_of_negatives(tmp_path: Path) -> None:
    shown = [impression(n, 0) for n in range(4000)] + [impression(9999, 1000)]
    clicks = [
        {"click": f"c{n}", "impression": f"i{n}", "time": 1} for n in range(0, 4000, 10)
    ]
    conversions = [{"conversion": "v", "click": "c0", "time": 2}]
    write_logs(tmp_path, (shown, clicks, conversions))
    job = small_job(
        tmp_path,
        "preprocessing.sampling={negative_keep_rate: 0.5, seed: 3,"
        " slices: {feature: device, rates: {phone: 0.2}}}",
        "preprocessing.split={by: hash, validation: 0.25, test: 0}",
    )
    manifest = run(job)
    examples = _examples(job, manifest)
    rates: Counter[tuple[float, float]] = Counter(
        (round(e["negative_keep_rate"][0], 3), e["labels"][0])
        for e in examples["train"]
    )
    # 4,000 rows, three quarters in train, half of them phones (n even, so all of the
    # positives are phones); 4.5 standard errors.
    assert abs(rates[0.2, 0] - 0.2 * 0.75 * 1600) < 4.5 * np.sqrt(240)
    assert abs(rates[0.5, 0] - 0.5 * 0.75 * 2000) < 4.5 * np.sqrt(750)
    positives = {e["ids"][0] for s in examples.values() for e in s if e["labels"][0]}
    assert positives == {_fingerprint(click["impression"]) for click in clicks}
    assert all(e["negative_keep_rate"] == [1.0] for e in examples["validation"])
    assert manifest.splits["train"].sampled
    assert not manifest.splits["validation"].sampled
    _check_balance(manifest)
    _check_statistics(job, examples["train"])


def _check_statistics(job: Any, examples: list[example_proto.Example]) -> None:
    weights = np.array(
        [
            1 if e["labels"][0] else 1 / np.float64(e["negative_keep_rate"][0])
            for e in examples
        ]
    )
    prices = np.array([e["numeric"][0] for e in examples])
    found = read_statistics(job.data.examples).numeric["price"]
    mean = np.average(prices, weights=weights)
    deviation = np.sqrt(np.average((prices - mean) ** 2, weights=weights))
    assert found.mean == pytest.approx(mean)
    assert found.stddev == pytest.approx(deviation)
    assert found.log1p_mean == pytest.approx(
        np.average(np.log1p(prices), weights=weights)
    )
    assert found.weight == pytest.approx(weights.sum())
    assert (found.minimum, found.maximum) == (prices.min(), prices.max())
    import pyarrow.parquet as pq

    counts = pq.read_table(
        Path(job.data.examples) / "counts/device.parquet"
    ).to_pydict()
    expected: Counter[int] = Counter()
    for example, weight in zip(examples, weights, strict=True):
        expected[example["categorical"][2]] += weight
    assert counts["fingerprint"] == sorted(expected)
    assert counts["count"] == pytest.approx([expected[k] for k in sorted(expected)])


def test_golden_rows_are_raw_and_encoded(tmp_path: Path) -> None:
    import json

    write_logs(tmp_path, random_logs(8))
    job = small_job(tmp_path)
    manifest = run(job)
    folder = Path(job.data.examples)
    assert manifest.golden_rows == 5
    rows = [json.loads(line) for line in (folder / "golden/rows.jsonl").open()]
    dataset = tf.data.TFRecordDataset(str(folder / "golden/examples.tfrecord"))
    encoded = [example_proto.parse(r) for r in dataset.as_numpy_iterator()]
    validation = [e["ids"][0] for e in _examples(job, manifest)["validation"]]
    for row, example in zip(rows, encoded, strict=True):
        assert example["ids"][0] in validation
        assert example["categorical"] == [
            _fingerprint(str(row[name])) for name in ("user", "item", "device")
        ]
        assert isinstance(row["user"], int)
        kept = row["history_item"][-3:]
        assert example["sequence/history/item"] == [_fingerprint(t) for t in kept]
    check_examples(folder)


def test_golden_rows_may_hold_unusual_line_ends(tmp_path: Path) -> None:
    impressions, clicks, conversions = random_logs(8)
    for impression_ in impressions:
        impression_["device"] = "a\u2028b\x85c"
    write_logs(tmp_path, (impressions, clicks, conversions))
    job = small_job(tmp_path)
    assert run(job).golden_rows == 5
    check_examples(job.data.examples)


def test_gzip_shards_hold_the_same_examples(tmp_path: Path) -> None:
    write_logs(tmp_path, random_logs(9))
    plain = small_job(tmp_path)
    expected = _examples(plain, run(plain))
    job = small_job(tmp_path, "preprocessing.compression=gzip")
    manifest = run(job)
    assert repr(_examples(job, manifest)) == repr(expected)  # NaN equals itself so
    check_examples(job.data.examples)
