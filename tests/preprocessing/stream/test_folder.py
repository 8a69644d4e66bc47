"""Files as they appear: what is frozen, and in which order it is read."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import DataError, Job
from preprocessing.stream.arrivals import Frozen
from preprocessing.stream.folder import FolderArrivals
from tests.preprocessing.making_jobs import impression, small_job


def write(path: Path, *records: Any, end: str = "\n") -> None:
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    with open(path, "a") as file:
        file.write("\n".join(lines) + end)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return small_job(tmp_path, f"data.impressions={tmp_path}/impressions*")


def click(time: int) -> dict[str, Any]:
    return {"click": f"c{time}", "impression": "i1", "time": time}


def times_read(frozen: Frozen, root: Path) -> dict[str, list[int]]:
    """The times of the records in the ranges of JSON lines, by name of the file."""
    found = {}
    for path, part in frozen.ranges.items():
        data = Path(path).read_bytes()[part.start : part.stop]
        found[Path(path).name] = [json.loads(x)["time"] for x in data.splitlines()]
    return found


def test_the_file_with_the_oldest_record_is_read_first(
    job: Job, tmp_path: Path
) -> None:
    for part in range(2):  # side by side
        records = [impression(n, 10 * n + part) for n in range(100)]
        write(tmp_path / f"impressions-{part}.jsonl", *records)
    write(
        tmp_path / "impressions-2.jsonl", *(impression(n, 2000 + n) for n in range(9))
    )
    write(tmp_path / "clicks.jsonl", *(click(50 * n) for n in range(60)))
    frozen = FolderArrivals(job).freeze({}, 120)
    read = times_read(frozen, tmp_path)
    ends = [times[-1] for times in read.values() if times]
    assert sum(map(len, read.values())) == 120
    assert max(ends) - min(ends) <= 300  # a piece of clicks is four records
    assert read["impressions-2.jsonl"] == []
    assert frozen.is_behind and frozen.impressions > 90
    heads = {Path(path).name: part.head for path, part in frozen.ranges.items()}
    assert heads["impressions-2.jsonl"] == 2000
    assert heads["clicks.jsonl"] == read["clicks.jsonl"][-1] + 50
    assert Frozen.from_json(json.loads(json.dumps(frozen.to_json()))) == frozen
    positions = FolderArrivals(job).positions({}, frozen)
    rest = FolderArrivals(job).freeze(positions, 1000)
    assert not rest.is_behind and rest.left == 0
    assert sum(map(len, times_read(rest, tmp_path).values())) == 269 - 120
    assert (
        FolderArrivals(job)
        .freeze(FolderArrivals(job).positions(positions, rest), 1000)
        .is_empty
    )


def test_half_a_record_has_not_arrived(job: Job, tmp_path: Path) -> None:
    log = tmp_path / "clicks.jsonl"
    write(log, click(1), end="")
    arrivals = FolderArrivals(job)
    frozen = arrivals.freeze({}, 10)
    assert frozen.ranges[str(log)].stop == log.stat().st_size  # whole, if not ended
    positions = arrivals.positions({}, frozen)
    write(log, "", '{"click": "c2", "impre', end="")
    frozen = arrivals.freeze(positions, 10)
    assert frozen.ranges[str(log)].stop == positions[str(log)] + 1  # its line break
    positions = arrivals.positions(positions, frozen)
    assert arrivals.freeze(positions, 10).is_empty
    write(log, 'ssion": "i1", "time": 2}')
    assert times_read(arrivals.freeze(positions, 10), tmp_path) == {"clicks.jsonl": [2]}


def test_other_files_are_read_whole(job: Job, tmp_path: Path) -> None:
    rows = [impression(n, 100 + n) for n in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "impressions-1.parquet")
    write(tmp_path / "impressions-2.csv", "impression,time", "i1,70", "i2,80")
    write(tmp_path / "impressions-3.jsonl", *rows)
    arrivals = FolderArrivals(job)
    frozen = arrivals.freeze({}, 1)
    heads = {Path(p).suffix: r for p, r in frozen.ranges.items()}
    csv = heads[".csv"]  # the oldest
    assert csv.stop == (tmp_path / "impressions-2.csv").stat().st_size
    assert csv.start == 0 and not csv.behind
    assert heads[".parquet"].head == 100 and heads[".jsonl"].head == 100
    parts = arrivals.parts(frozen, tmp_path)
    assert [Path(part.partition).suffix for part in parts] == [".csv"]
    assert parts[0].stop is None
    positions = arrivals.positions({}, frozen)
    write(tmp_path / "impressions-2.csv", "i3,90")
    with pytest.raises(DataError, match="are read once, as a whole"):
        arrivals.freeze(positions, 3)
    with pytest.raises(DataError, match=r"impressions-2\.csv has changed"):
        arrivals.parts(frozen, tmp_path)


def test_damaged_lines_tell_no_time(job: Job, tmp_path: Path) -> None:
    write(tmp_path / "clicks.jsonl", *(["{"] * 80), click(5))
    write(tmp_path / "impressions-1.jsonl", impression(1, 1))
    frozen = FolderArrivals(job).freeze({}, 20)
    part = frozen.ranges[str(tmp_path / "clicks.jsonl")]
    assert part.stop == 19 * 2  # they go first
    assert part.behind and part.head == 5  # within the next 64
    assert not frozen.ranges[str(tmp_path / "impressions-1.jsonl")].behind


def test_a_record_of_the_future_holds_back_those_behind_it(tmp_path: Path) -> None:
    """Else windows would close by other files before its clicks are read."""
    state = f"stream.join={{state: {tmp_path}/state}}"
    job = small_job(tmp_path, f"data.impressions={tmp_path}/impressions*", state)
    write(tmp_path / "clicks.jsonl", click(4_102_444_800_000), click(5), click(6))
    write(tmp_path / "impressions-1.jsonl", *(impression(n, n) for n in range(9)))
    frozen = FolderArrivals(job).freeze({}, 3)
    assert frozen.ranges[str(tmp_path / "clicks.jsonl")].head == 5
    parquet = tmp_path / "impressions-2.parquet"
    rows = [impression(20, 4_102_444_800_000), impression(21, 7)]
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    assert FolderArrivals(job).freeze({}, 1).ranges[str(parquet)].head == 7


def test_files_that_are_gone_are_forgotten(job: Job, tmp_path: Path) -> None:
    log = tmp_path / "clicks.jsonl"
    write(log, click(1))
    arrivals = FolderArrivals(job)
    positions = arrivals.positions({}, arrivals.freeze({}, 10))
    log.unlink()
    frozen = arrivals.freeze(positions, 10)
    assert frozen.is_empty and arrivals.positions(positions, frozen) == {}


def test_what_is_forgotten_is_decided_once(job: Job, tmp_path: Path) -> None:
    """A micro-batch that is made again after files were removed gives the same."""
    log, other = tmp_path / "clicks.jsonl", tmp_path / "impressions-1.jsonl"
    write(log, click(1))
    write(other, impression(1, 1))
    arrivals = FolderArrivals(job)
    before = arrivals.positions({}, arrivals.freeze({}, 10))
    log.unlink()
    write(other, impression(2, 2))
    frozen = arrivals.freeze(before, 10)
    assert frozen.gone == (str(log),)
    positions = arrivals.positions(before, frozen)
    assert list(positions) == [str(other)]
    intent = Frozen.from_json(json.loads(json.dumps(frozen.to_json())))
    other.unlink()
    assert FolderArrivals(job).positions(before, intent) == positions
