"""The sets of a folder, cut into windows: in order, completely, and again alike."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from configs import DataError, Job
from tests.trainer.example_sets import random_rows, write_example_set
from tests.trainer.stream.sets import SIZES, publish, publish_all, stream_job
from trainer.inputs.stream_source import StreamPosition, StreamWindow, WindowGone
from trainer.stream.folder import FolderSource


def ids_of(window: StreamWindow) -> list[int]:
    return [
        tf.train.Example.FromString(x).features.feature["ids"].int64_list.value[0]
        for x in window.serialized.numpy()
    ]


def all_ids(sizes: tuple[int, ...] = SIZES) -> list[int]:
    return [1000 * (100 + k) + n for k, rows in enumerate(sizes) for n in range(rows)]


def read_all(
    job: Job, position: StreamPosition | None = None, *, until_end: bool = True
) -> list[StreamWindow]:
    source = FolderSource(job, until_end=until_end)
    source.open(position or {})
    found = []
    with source:
        while (window := source.next_window(0.0)) is not None:
            found.append(window)
    assert source.ended == until_end
    return found


def test_every_row_is_in_one_window_and_in_order(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    publish_all(job)
    found = read_all(job)
    assert [window.rows for window in found] == [40, 40, 40, 40, 28]
    assert [i for window in found for i in ids_of(window)] == all_ids()
    assert found[0].start == {}
    for before, after in itertools.pairwise(found):
        assert after.start == before.position
    status = FolderSource(job)
    status.open(found[1].position)
    assert status.status().lag_rows == sum(SIZES) - 80


def test_reading_goes_on_at_every_window(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    publish_all(job)
    found = read_all(job)
    for number, window in enumerate(found):
        again = read_all(job, json.loads(json.dumps(window.position)))
        assert [ids_of(w) for w in again] == [ids_of(w) for w in found[number + 1 :]]


def test_windows_that_time_has_closed_are_read_again_alike(tmp_path: Path) -> None:
    """Sets come one by one, and windows are closed as they come; then all are there."""
    job = stream_job(tmp_path, "stream.train.window_wait=0s")
    source = FolderSource(job)
    source.open({})
    live = []
    for number, rows in enumerate(SIZES):
        publish(job, number, rows)
        while (window := source.next_window(0.0)) is not None:
            live.append(window)
    assert [w.rows for w in live] == [40, 30, 33, 40, 24, 21]
    assert [i for w in live for i in ids_of(w)] == all_ids()
    again = FolderSource(job)
    again.open({})
    for window in live:
        found = again.next_window(0.0, window.position)
        assert found is not None and found.position == window.position
        assert ids_of(found) == ids_of(window)
    assert again.next_window(0.0) is None


def test_a_window_waits_for_rows_until_it_is_full_or_its_time_is_up(
    tmp_path: Path,
) -> None:
    job = stream_job(tmp_path, "stream.train.window_wait=1h")
    publish(job, 0, 30)
    source = FolderSource(job)
    source.open({})
    assert source.next_window(0.0) is None
    publish(job, 1, 15)
    window = source.next_window(0.0)
    assert window is not None and window.rows == 40
    assert source.next_window(0.0) is None


def test_days_come_before_numbers(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    publish(job, 0, 20)
    publish(job, 7, 20).rename(Path(job.data.examples) / "2017-10-02")
    publish(job, 3, 20).rename(Path(job.data.examples) / "2017-10-01")
    ids = [i for window in read_all(job) for i in ids_of(window)]
    assert [i // 1000 for i in ids] == [103] * 20 + [107] * 20 + [100] * 20


def test_sets_that_are_gone_unread_are_an_error_or_counted(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    publish_all(job)
    first = read_all(job)[0]
    for number in (1, 2):
        shutil.rmtree(Path(job.data.examples) / f"{number:08d}")
    with pytest.raises(DataError, match=r"2 set\(s\) before 00000003 are gone"):
        read_all(job, first.position)
    lenient = stream_job(tmp_path, "stream.train.expired=earliest")
    found = read_all(lenient, first.position)
    assert found[0].counters == {"expired_sets": 2}
    assert sum(window.rows for window in found) == 30 + 64 + 21


def test_a_window_that_is_gone_cannot_be_read_again(tmp_path: Path) -> None:
    """Its end was noted, a crash undid what was learned, and then its set went."""
    job = stream_job(tmp_path)
    publish_all(job)
    first, second, third, *_ = read_all(job)
    lenient = stream_job(tmp_path, "stream.train.expired=earliest")
    for number in (2, 3, 4):
        shutil.rmtree(Path(job.data.examples) / f"{number:08d}")
    source = FolderSource(job)
    source.open(first.position)
    with pytest.raises(DataError, match="00000002, which is gone before it could be"):
        source.next_window(0.0, second.position)
    source = FolderSource(lenient)
    source.open(first.position)
    with pytest.raises(WindowGone):
        source.next_window(0.0, second.position)
    publish(job, 5, 25)
    source = FolderSource(lenient)
    source.open(first.position)
    with pytest.raises(WindowGone):
        source.next_window(0.0, third.position)
    window = source.next_window(0.0)
    assert window is not None and window.counters == {"expired_sets": 3}
    assert ids_of(window) == all_ids()[40:70] + [105_000 + n for n in range(10)]


def test_a_set_that_was_removed_after_it_was_read_is_not_missed(tmp_path: Path) -> None:
    job = stream_job(tmp_path, "stream.train.window_rows=70")
    publish_all(job)
    found = read_all(job)
    shutil.rmtree(Path(job.data.examples) / "00000000")
    assert [w.rows for w in read_all(job, found[0].position)] == [70, 48]
    within = {**found[0].position, "row": 69}
    with pytest.raises(DataError, match="is gone, and only 69 of its 70 rows"):
        read_all(job, within)


def test_a_set_that_was_made_again_is_noticed(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    publish_all(job)
    first = read_all(job)[0]
    shutil.rmtree(Path(job.data.examples) / "00000000")
    write_example_set(
        job.model_copy(
            update={
                "data": job.data.model_copy(
                    update={"examples": f"{job.data.examples}/00000000"}
                )
            }
        ),
        {"train": [random_rows(job, 70, seed=5)]},
    )
    with pytest.raises(DataError, match="another example set than the one"):
        read_all(job, first.position)


def test_a_single_set_is_no_stream(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    write_example_set(job, {"train": [random_rows(job, 5, seed=1)]})
    with pytest.raises(DataError, match="is one example set, and a stream"):
        read_all(job)


def test_a_cut_file_is_noticed_before_it_is_read(tmp_path: Path) -> None:
    job = stream_job(tmp_path)
    folder = publish(job, 0, 30)
    shard = next((folder / "train").glob("*"))
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(DataError, match="bytes, expected"):
        read_all(job)
