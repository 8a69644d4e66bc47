"""The watermark, segments and files of encoded features, by themselves."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from preprocessing.scratch import read_bucket, write_buckets
from preprocessing.settled import Settled, sorted_by_fingerprint
from preprocessing.stream.arrivals import Frozen, Range
from preprocessing.stream.segments import Segment, merge_segments, write_segment
from preprocessing.stream.watermark import next_watermark
from preprocessing.stream.wide import compact_rows

BUCKETS = 3


def frozen(**heads: tuple[bool, int | None]) -> Frozen:
    return Frozen(
        ranges={
            name: Range(log="impressions", start=0, stop=1, behind=behind, head=head)
            for name, (behind, head) in heads.items()
        }
    )


@pytest.mark.parametrize(
    ("before", "latest", "ranges", "expected"),
    [
        (None, None, {}, None),
        (None, 100, {"a": (False, None)}, 89),
        (None, 100, {"a": (True, 60), "b": (False, None)}, 49),
        (None, 100, {"a": (True, None)}, 29),  # by what was read of it: 40
        (None, 100, {"new": (True, None)}, None),  # it may hold anything
        (50, 100, {"new": (True, None)}, 50),
        (95, 100, {"a": (False, None)}, 95),  # never back
        (70, 100, {"a": (True, 60)}, 70),
        (None, 100, {"a": (True, 400)}, 89),
    ],
)
def test_watermark(
    before: int | None,
    latest: int | None,
    ranges: dict[str, tuple[bool, int | None]],
    expected: int | None,
) -> None:
    found = next_watermark(before, latest, frozen(**ranges), {"a": 40}, 10)
    assert found == expected


def rows(
    rng: np.random.Generator, count: int, low: int
) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    prints = rng.integers(0, 500, count)
    table = pa.table(
        {
            "fingerprint": pa.array(prints),
            "time": pa.array(rng.integers(low, low + 10, count)),
            "id": pa.array([f"i{n}" for n in rng.integers(0, 10**6, count)]),
        }
    )
    return table, prints % BUCKETS


def test_segments_find_what_was_left_and_stay_few(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    segments: list[Segment] = []
    every: list[pa.Table] = []
    for batch in range(200):
        table, buckets = rows(rng, int(rng.integers(1, 60)), batch * 10)
        every.append(table)
        settled = Settled(segments={}, leaves=str(tmp_path / f"left-{batch}"))
        settled.leave("log", "part", table, buckets, BUCKETS)
        part = tmp_path / f"left-{batch}/log/part.arrow"
        oldest = batch * 10 - 1000
        path = f"settled/{batch:08}.arrow"
        new = write_segment(tmp_path, path, [str(part)], oldest)
        assert new is not None and new.rows == table.num_rows
        segments = merge_segments(tmp_path, "settled", [*segments, new], oldest)
        assert len(segments) < 8 * 5
    assert len({segment.path for segment in segments}) == len(segments)
    settled = Settled(
        segments={"log": [str(tmp_path / s.path) for s in segments]}, leaves=""
    )
    whole = pa.concat_tables(every)
    recent = whole.filter(pa.array(whole["time"].to_numpy() > 990))
    for bucket in range(BUCKETS):
        wanted = np.arange(bucket, 100, BUCKETS)
        found = settled.find("log", bucket, wanted)
        assert found is not None
        mask = np.isin(recent["fingerprint"].to_numpy(), wanted)
        expected = set(recent.filter(pa.array(mask))["id"].to_pylist())
        assert expected <= set(found["id"].to_pylist())  # old ones go by and by
        assert len(found) == len(set(found["id"].to_pylist()))
    assert settled.find("log", 0, np.array([1000])) is None
    assert settled.find("other", 0, np.array([0])) is None
    stored = sum(segment.rows for segment in segments)
    assert recent.num_rows <= stored <= recent.num_rows * 2


def test_rows_in_the_order_of_segments() -> None:
    table = pa.table({"fingerprint": [3, 1, 3, 2], "n": [0, 1, 2, 3]})
    assert sorted_by_fingerprint(table)["n"].to_pylist() == [1, 3, 0, 2]


def test_encoded_features_are_copied_when_few_are_needed(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    files: dict[int, tuple[str, int]] = {}
    narrow = pa.table({name: pa.array([], pa.int64()) for name in ("file", "row", "v")})
    narrow = narrow.append_column("home", pa.array([], pa.int32()))
    for batch in range(60):
        count = int(rng.integers(1, 40))
        home = rng.integers(0, BUCKETS, count)
        values = rng.integers(0, 10**9, count)
        path = tmp_path / f"{batch:016}.arrow"
        write_buckets(path, pa.table({"v": values}), home, BUCKETS)
        files[batch] = (str(path), count)
        order = np.argsort(home, kind="stable")
        places = np.arange(count) - np.searchsorted(home[order], home[order])
        new = pa.table(
            {
                "file": np.full(count, batch),
                "row": places,
                "v": values[order],
                "home": pa.array(home[order], pa.int32()),
            }
        )
        narrow = pa.concat_tables([narrow, new]).combine_chunks()
        stays = rng.random(narrow.num_rows) < 0.9
        narrow = narrow.filter(pa.array(stays)).combine_chunks()
        opened = tmp_path / "open.arrow"
        write_buckets(opened, narrow, rng.integers(0, BUCKETS, len(narrow)), BUCKETS)
        files = compact_rows(opened, files, tmp_path / "new", batch)
        parts = [read_bucket([str(opened)], n) for n in range(BUCKETS)]
        narrow = pa.concat_tables([p for p in parts if p is not None]).combine_chunks()
        assert sorted(files) == sorted(set(narrow["file"].to_pylist()))
        for row in narrow.to_pylist():
            wide = read_bucket([files[row["file"]][0]], row["home"])
            assert wide is not None and wide["v"][row["row"]].as_py() == row["v"]
    assert len(files) < 16 * 3
