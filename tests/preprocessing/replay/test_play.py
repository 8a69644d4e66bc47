"""Logs are played whole, in order, and at their speed."""

import gzip
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import EXIT_CODE, DataError
from preprocessing.cli import main
from preprocessing.fields import fields_by_log, impression_fields
from preprocessing.files import find_files
from preprocessing.replay.clock import clock_of
from preprocessing.replay.folder import FolderTarget
from preprocessing.replay.lines import json_lines_of
from preprocessing.replay.play import replay
from preprocessing.replay.settings import ReplaySettings
from preprocessing.replay.stamping import stamp_of
from tests.preprocessing.making_jobs import (
    JOB,
    Record,
    impression,
    random_logs,
    small_job,
    write_lines,
    write_logs,
)

LOGS = ("impressions", "click", "conversion")
FAST = ReplaySettings(speed=None)


class Listening:
    """A target that remembers what it is given, and when."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str, bytes, int]] = []
        self.closed = False

    def write(
        self, lines: Mapping[str, list[bytes]], times: Mapping[str, Sequence[int]]
    ) -> None:
        now = time.time() * 1e3
        for log, records in lines.items():
            for line, at in zip(records, times[log], strict=True):
                self.heard.append((now, log, line, at))

    def close(self) -> None:
        self.closed = True


def records_in(folder: Path, log: str) -> list[Record]:
    paths = sorted((folder / log).glob("*.jsonl"))
    lines = b"".join(path.read_bytes() for path in paths).splitlines()
    return [json.loads(line) for line in lines]


def test_every_record_is_played_once_in_the_order_of_times(tmp_path):
    logs = random_logs(seed=1)
    write_logs(tmp_path, logs)
    out = tmp_path / "out"
    target = FolderTarget(out, LOGS, overwrite=False)
    assert replay(small_job(tmp_path), target, FAST) == sum(map(len, logs))
    for name, records in zip(LOGS, logs, strict=True):
        # sorted() is stable too: records of one time keep the order of the log.
        assert records_in(out, name) == sorted(records, key=lambda r: r["time"])
    assert not list(out.rglob(".*"))


def test_records_that_cannot_be_read_are_played_after_the_one_before(tmp_path):
    shown = [impression(0, 50), "{broken", impression(1, 20), '{"time": "no"}', ""]
    shown += [impression(2, 10), "[7]"]
    write_logs(tmp_path, (shown, [], []))
    target = Listening()
    replay(small_job(tmp_path), target, FAST)
    lines = [line for _, _, line, _ in target.heard]
    named = [
        json.loads(line)["impression"] if b'"impression"' in line else line
        for line in lines
    ]
    assert named == ["i2", b"[7]", "i1", b'{"time": "no"}', "i0", b"{broken"]
    assert target.closed


def test_a_limit_keeps_the_first_by_time_of_all_logs_together(tmp_path):
    write_logs(tmp_path, random_logs(seed=2))
    job, whole, short = small_job(tmp_path), Listening(), Listening()
    replay(job, whole, FAST)
    replay(job, short, ReplaySettings(speed=None, limit=17))
    # Handed on together, log by log.
    heard = sorted((h[1:] for h in whole.heard), key=lambda h: (h[2], LOGS.index(h[0])))
    assert sorted(h[1:] for h in short.heard) == sorted(heard[:17])


def test_records_come_at_their_times(tmp_path):
    shown = [impression(n, 1_000 * n) for n in range(5)]
    write_logs(tmp_path, (shown, [], []))
    settings = ReplaySettings(speed=10.0, interval=0.02, shift_to_now=True)
    target = Listening()
    start = time.time() * 1e3
    replay(small_job(tmp_path), target, settings)
    delays = [now - start for now, *_ in target.heard]
    for number, delay in enumerate(delays):
        assert 100 * number <= delay <= 100 * number + 2_000  # a machine may be busy
    stamped = [json.loads(line)["time"] for _, _, line, _ in target.heard]
    assert [b - a for a, b in pairwise(stamped)] == [1_000] * 4
    assert stamped == [at for *_, at in target.heard]
    now = [heard[0] for heard in target.heard]
    assert all(time <= came + 50 for time, came in zip(stamped, now, strict=True))
    assert now[-1] - stamped[-1] <= 2_000


@pytest.mark.parametrize("speed", [0.25, 1.0, 60.0, None])
def test_no_record_is_ahead_of_the_clock(speed):
    settings = ReplaySettings(speed=speed, shift_to_now=True)
    clock = clock_of(5_000, 65_000, 100, settings, now=10**12)
    ahead = [
        clock.moved(time) - 10**12 - clock.due(time) * 1e3
        for time in range(5_000, 65_001, 500)
    ]
    assert max(ahead) == pytest.approx(0, abs=1)


def test_compressed_spans_fit_the_clock():
    settings = ReplaySettings(speed=60.0, compress=True)
    clock = clock_of(0, 60_000, 100, settings, now=10**12)
    moved = [clock.moved(time) - 10**12 for time in (0, 6_000, 60_000)]
    assert moved == [0, 100, 1_000]
    assert clock.seconds == 1.0


def test_a_rate_sets_the_speed():
    settings = ReplaySettings(rate=50.0)
    clock = clock_of(0, 60_000, 100, settings, now=0)
    assert clock.seconds == pytest.approx(2.0)


def moved_by_7(line: str, job) -> bytes:
    stamp = stamp_of(impression_fields(job), lambda time: time + 7)
    return stamp(line.encode())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"time": 10, "x": 1.50}', '{"time": 17, "x": 1.50}'),
        ('{"a": "\\"time\\": 3", "time":-4}', '{"a": "\\"time\\": 3", "time":3}'),
        # Not as simple as that: read, and written anew.
        ('{"time": "10"}', '{"time":17}'),
        ('{"time": 10.5}', '{"time":17}'),
        ('{"b": {"time": 1}, "time": 2}', '{"b":{"time":1},"time":9}'),
        # Nothing to move.
        ('{"time": null}', '{"time":null}'),
        ("{broken", "{broken"),
        ("[1]", "[1]"),
    ],
)
def test_times_move_and_nothing_else(line, expected, tmp_path):
    assert moved_by_7(line, small_job(tmp_path)).decode() == expected


def test_times_move_in_their_unit(tmp_path):
    job = small_job(tmp_path, "ids.time={column: time, unit: iso}")
    moved = moved_by_7('{"time": "2026-01-01T00:00:00"}', job)
    assert json.loads(moved)["time"] == "2026-01-01T00:00:00.007000+00:00"
    job = small_job(tmp_path, "ids.time={column: time, unit: us}")
    assert json.loads(moved_by_7('{"time": 1000}', job)) == {"time": 8000}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl.gz", "parquet"])
def test_all_formats_give_the_examples_of_json_lines(suffix, tmp_path):
    from preprocessing.blocks import plan_blocks
    from preprocessing.inspection import inspect_file
    from preprocessing.reading import read_block

    shown = [impression(n, n) for n in range(40)]
    write_lines(tmp_path / "log.jsonl", shown)
    path = tmp_path / f"log.{suffix}"
    write_as(suffix, path, shown)

    def read(path: Path) -> pa.Table:
        job = small_job(tmp_path, f"data.impressions={path}")
        fields = fields_by_log(job)["impressions"]
        (file,) = find_files("impressions", job.data.impressions, "here")
        columns, _ = inspect_file(file, fields)
        blocks = plan_blocks([file], {file.path: columns}, 1 << 20)
        return pa.concat_tables(t for b in blocks for t in read_block(b, fields))

    job = small_job(tmp_path, f"data.impressions={path}")
    (file,) = find_files("impressions", job.data.impressions, "here")
    spool = tmp_path / "spool.jsonl"
    assert json_lines_of(file, fields_by_log(job)["impressions"], spool) == spool
    found = read(spool)
    assert not found["reason"].to_numpy().any()
    assert found.equals(read(tmp_path / "log.jsonl"))


def write_as(suffix: str, path: Path, records: list[Record]) -> None:
    if suffix == "jsonl.gz":
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        path.write_bytes(gzip.compress(lines.encode()))
    elif suffix == "parquet":
        table = pa.Table.from_pylist(records)
        times = table["time"].cast(pa.timestamp("ms"))
        place = table.schema.get_field_index("time")
        pq.write_table(table.set_column(place, "time", times), path)
    else:
        separator = "," if suffix == "csv" else "\t"
        lines = [separator.join(records[0])]
        for record in records:
            values = record.values()
            lines.append(
                separator.join(
                    "|".join(map(str, v)) if isinstance(v, list) else str(v)
                    for v in values
                )
            )
        path.write_text("".join(f"{line}\n" for line in lines))


def test_the_command(tmp_path, capsys):
    write_logs(tmp_path, random_logs(seed=5))
    job = tmp_path / "job.yaml"
    job.write_text(JOB.replace("{root}", str(tmp_path)))
    command = ["replay", str(job), "--speed", "max", "--limit", "5"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert shown.out == "played 5 records\n"
    assert "5/5 records" in shown.err
    assert sum(len(records_in(tmp_path / "out", log)) for log in LOGS) == 5
    assert main(command) == EXIT_CODE
    assert "--out" in capsys.readouterr().err


def test_a_folder_with_files_is_left_alone(tmp_path):
    write_logs(tmp_path, random_logs(seed=3))
    job, out = small_job(tmp_path), tmp_path / "out"
    replay(job, FolderTarget(out, LOGS, overwrite=False), FAST)
    with pytest.raises(DataError, match="--overwrite"):
        FolderTarget(out, LOGS, overwrite=False)
    FolderTarget(out, LOGS, overwrite=True)
    assert records_in(out, "click") == []


def test_logs_without_a_readable_time_are_refused(tmp_path):
    write_logs(tmp_path, (["{}"], ["{}"], ["{}"]))
    with pytest.raises(DataError, match="time can be read"):
        replay(small_job(tmp_path), Listening(), FAST)
