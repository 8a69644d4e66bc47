"""Log files hold the rows that were written, in every format."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocessing.datasets.log_writer import LogWriter, json_lines

TABLE = pa.table(
    {
        "text": ["plain", 'a "quoted" word', "back\\slash", None, ""],
        "whole": pa.array([1, None, -3, 2**62, 0], pa.int64()),
        "real": [0.5, 1e-9, None, 3.0, -2.25e20],
        "texts": [["a", 'b"'], [], None, ["c"], ["", "d"]],
        "reals": [[1.5], [2.0, 1e-7], [], [0.0], None],
    }
)


def parsed(text: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.decode().splitlines()]


def test_json_lines_hold_the_values() -> None:
    assert parsed(b"".join(json_lines(TABLE))) == TABLE.to_pylist()


def test_json_lines_of_a_slice_are_those_rows() -> None:
    assert parsed(b"".join(json_lines(TABLE.slice(1, 3)))) == TABLE.to_pylist()[1:4]


def test_json_lines_of_many_batches() -> None:
    long = pa.concat_tables([TABLE] * 20_000).combine_chunks()
    blocks = json_lines(long)
    assert len(blocks) > 1
    assert b"".join(blocks) == b"".join(json_lines(TABLE)) * 20_000


def test_no_rows_give_no_lines() -> None:
    assert json_lines(TABLE.slice(0, 0)) == []


@pytest.mark.parametrize("log_format", ["parquet", "jsonl", "jsonl.gz"])
def test_files_roll_over_and_hold_everything(tmp_path, log_format) -> None:
    with LogWriter(tmp_path, "log", log_format, rows_per_file=6) as log:
        for _ in range(5):
            log.write(TABLE)
        assert log.rows == 25
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == [f"log-0000{n}.{log_format}" for n in range(3)]
    rows = []
    for file in files:
        if log_format == "parquet":
            rows += pq.read_table(file).to_pylist()
        else:
            content = file.read_bytes()
            rows += parsed(gzip.decompress(content) if "gz" in log_format else content)
    assert rows == TABLE.to_pylist() * 5


def test_gzip_files_do_not_depend_on_time_or_name(tmp_path, monkeypatch) -> None:
    contents = []
    for name, now in (("a", 1e9), ("b", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        with LogWriter(tmp_path, name, "jsonl.gz", 100) as log:
            log.write(TABLE)
        contents.append((tmp_path / f"{name}-00000.jsonl.gz").read_bytes())
    assert contents[0] == contents[1]
