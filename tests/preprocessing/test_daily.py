"""Daily runs against one run over all days, on logs with ties, duplicates and late
records."""

import json
import shutil
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from configs import DataError, Job, JobError
from configs.days import day_bounds
from configs.manifest import Manifest, read_manifest
from preprocessing.check import check_examples
from preprocessing.cli import main
from preprocessing.daily import day_after_last
from preprocessing.run import preprocess
from tests.oracles import example_proto
from tests.preprocessing.making_jobs import impression, write_lines
from tests.preprocessing.test_histories import history_job, history_logs

FIRST = date(2026, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(6)]
UNIT_MS = 216_000
"""Of the times of the random logs: 400 are a day, 100 are six hours."""
CONVERSION_WINDOW = 18 * 3_600_000
NAMES = ("impressions", "clicks", "conversions", "views")
TABLES = (
    "data.tables={users: {path: ROOT/users.jsonl, key: user, time: since,"
    " deleted: gone}, items: {path: ROOT/items.jsonl, key: item, time: since}}",
    "features.age={kind: numeric, group: user, table: users}",
    "features.brand={kind: categorical, table: items, embedding: {buckets: 10}}",
    "preprocessing.broadcast_bytes=3000",  # more than items have, less than users
)
"""Side tables of all days: one that every worker holds, and one in buckets."""


def daily_job(root: Path, *overrides: str) -> Job:
    """The job with histories, over logs in folders of days."""
    logs = {
        "impressions": "impressions",
        "events.click": "clicks",
        "events.conversion": "conversions",
        "behaviours.view": "views",
    }
    paths = [f"data.{n}.path={root}/{{day}}/{f}.jsonl" for n, f in logs.items()]
    return history_job(
        root,
        "data.impressions={path: nowhere}",
        *paths,
        "labels.click.window=6h",
        "labels.conversion.window=18h",
        "preprocessing.daily={lateness: 1h, memory: 10d}",
        "preprocessing.sampling={negative_keep_rate: 0.7}",
        *overrides,
    )


def with_tables(root: Path, *overrides: str) -> Job:
    """The same job with side tables."""
    tables = (text.replace("ROOT", str(root)) for text in TABLES)
    return daily_job(root, *tables, *overrides)


def write_tables(root: Path, seed: int) -> None:
    """Rows that hold from times of all days on, some of them deletions."""
    rng = np.random.default_rng(seed)
    start = day_bounds(FIRST)[0]
    for name, key, keys, rows in ("users", "user", 6, 80), ("items", "item", 4, 30):
        records = [
            {
                key: int(rng.integers(keys)) if name == "users" else f"item {n % keys}",
                "since": start + int(rng.integers(6 * 400)) * UNIT_MS,
                "age": n + 0.5,
                "brand": f"brand {n}",
                "gone": bool(rng.random() < 0.1),
            }
            for n in range(rows)
        ]
        write_lines(root / f"{name}.jsonl", records)


def write_daily_logs(root: Path, seed: int) -> None:
    """Spreads random logs over days: half of the last hour of a day comes a day
    late."""
    rng = np.random.default_rng(seed)
    start = day_bounds(FIRST)[0]
    shown, *others = history_logs(seed)
    shown += [impression(900 + n, 410 * (n + 1)) for n in range(5)]
    files: dict[Path, list[Any]] = defaultdict(list)
    for name, log in zip(NAMES, (shown, *others), strict=True):
        for record in log:
            key = "at" if name == "views" else "time"
            time = start + record[key] * UNIT_MS
            day = (time - start) // 86_400_000
            late = (time - start) % 86_400_000 >= 23 * 3_600_000 and rng.random() < 0.5
            folder = root / str(DAYS[min(max(day + late, 0), 5)])
            files[folder / f"{name}.jsonl"].append(record | {key: time})
    for day_ in DAYS:
        (root / str(day_)).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            write_lines(root / str(day_) / f"{name}.jsonl", [])
    for path, records in files.items():
        write_lines(path, records)


def records_of(folder: Path, manifest: Manifest) -> dict[str, list[bytes]]:
    """The bytes of the examples of each split, in order."""
    return {
        name: [
            record
            for shard in split.shards
            for record in tf.data.TFRecordDataset(
                str(folder / shard.path)
            ).as_numpy_iterator()
        ]
        for name, split in manifest.splits.items()
    }


def end_of(record: bytes) -> int:
    """When the longest window of an example ends."""
    return int(example_proto.parse(record)["event_time"][0]) + CONVERSION_WINDOW


def check_balance(manifest: Manifest) -> None:
    """Every record that was read or carried in has one fate, or is carried out."""
    totals: Counter[str] = Counter()
    for name, count in {**manifest.counters, **manifest.dead_letters}.items():
        log, _, what = name.rpartition(".")
        if log.startswith(("features", "behaviours", "joins")):
            continue
        totals[log] += count if what in ("read", "carried_in") else -count
    assert not any(totals.values()), totals


def test_days_together_are_one_run(tmp_path: Path) -> None:
    write_daily_logs(tmp_path, 11)
    write_tables(tmp_path, 12)
    whole = with_tables(tmp_path, f"data.examples={tmp_path}/whole")
    one = preprocess(whole)
    for table in ("users", "items"):
        for found in ("found", "too_early", "unknown_key"):
            assert one.counters[f"joins.{table}.{found}"] > 5, (table, found)
    expected = records_of(tmp_path / "whole", one)
    job = with_tables(tmp_path)
    manifests = {day: preprocess(job, day=day) for day in DAYS[:3]}
    assert day_after_last(job) == DAYS[3]
    manifests |= {day: preprocess(job, day=day) for day in DAYS[3:]}
    closed = day_bounds(DAYS[-1])[1] - 1 - 3_600_000
    for manifest in manifests.values():
        check_balance(manifest)
    found: dict[str, list[list[bytes]]] = {split: [] for split in expected}
    for day, manifest in manifests.items():
        check_examples(tmp_path / "examples" / str(day))
        assert manifest.continues == (
            manifests[day - timedelta(days=1)].carry_over if day > FIRST else None
        )
        for split, records in records_of(
            tmp_path / "examples" / str(day), manifest
        ).items():
            found[split].append(records)
    assert sum(bool(records) for records in found["train"]) >= 4
    every = list(chain.from_iterable(expected.values()))
    last = max(map(end_of, every))
    for split, records in expected.items():
        wanted = [record for record in records if end_of(record) <= closed]
        # The one run withholds what its logs leave open, a daily run waits for the day.
        of_days = [[r for r in part if end_of(r) <= last] for part in found[split]]
        assert sorted(wanted) == sorted(chain.from_iterable(of_days))
        for part in of_days:  # byte for byte, and in the same order
            assert part == [record for record in wanted if record in set(part)]
    assert len(every) > 60
    _check_again(job, manifests, tmp_path)


def _check_again(job: Job, manifests: dict[date, Manifest], root: Path) -> None:
    """Making a day again changes nothing; what does not fit is refused."""
    day = DAYS[2]
    with pytest.raises(DataError, match="exists already"):
        preprocess(job, day=day)
    again = preprocess(job, day=day, overwrite=True, block_bytes=2000)
    assert again == manifests[day]
    with pytest.raises(DataError, match="was left by another job"):
        other = with_tables(root, "preprocessing.buckets=3")
        preprocess(other, day=day, overwrite=True)
    shutil.rmtree(root / "examples" / str(DAYS[1]) / "carry_over/behaviours")
    with pytest.raises(DataError, match="is missing"):
        preprocess(job, day=day, overwrite=True)
    shutil.rmtree(root / "examples" / str(DAYS[1]) / "carry_over")
    with pytest.raises(DataError, match="no carry-over"):
        preprocess(job, day=day, overwrite=True)
    shutil.rmtree(root / "examples" / str(DAYS[1]))
    with pytest.raises(DataError, match="days are made one after the other"):
        preprocess(job, day=day, overwrite=True)
    assert read_manifest(root / "examples" / str(day)) == manifests[day]


@pytest.mark.slow
def test_commands_make_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from configs import dump_job

    write_daily_logs(tmp_path, 12)
    job = tmp_path / "job.yaml"
    overrides = "preprocessing.daily={keep_carry_overs: 1}"
    job.write_text(dump_job(daily_job(tmp_path, overrides)))
    assert main(["run", str(job), "--next-day"]) == 2
    assert "--days" in capsys.readouterr().err
    assert main(["run", str(job), "--days", "2026-01-01..2026-01-02"]) == 0
    assert "carried_out" in capsys.readouterr().out
    assert main(["run", str(job), "--next-day"]) == 0
    assert "2026-01-03" in capsys.readouterr().out
    folders = sorted((tmp_path / "examples").glob("*/carry_over"))
    assert [folder.parent.name for folder in folders] == ["2026-01-03"]
    names = [path.name for path in (tmp_path / "examples").iterdir()]
    assert sorted(names) == ["2026-01-01", "2026-01-02", "2026-01-03"]
    manifest = json.loads((tmp_path / "examples/2026-01-03/manifest.json").read_text())
    assert manifest["day"] == "2026-01-03"


def test_logs_must_lie_in_days(tmp_path: Path) -> None:
    path = f"data.impressions.path={tmp_path}/impressions.jsonl"
    with pytest.raises(JobError, match=r"write .day. in the path"):
        preprocess(daily_job(tmp_path, path), day=FIRST)
    with pytest.raises(DataError, match="no file matches"):
        preprocess(daily_job(tmp_path), day=FIRST)
    (tmp_path / "examples" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="an example set of its own"):
        preprocess(daily_job(tmp_path), day=FIRST)
