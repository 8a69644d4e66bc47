"""Logs without ids and times: the number of a record stands for both."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.data import LogFiles
from preprocessing.blocks import plan_blocks
from preprocessing.fields import Field
from preprocessing.files import find_files
from preprocessing.inspection import inspect_file
from preprocessing.reading import read_block

FIELDS = [
    Field(name="time", column="$row", kind="time"),
    Field(name="word", column="w", kind="string"),
    Field(name="id", column="$row", kind="id"),
]
WORDS = [f"word {number}" for number in range(300)]


def _write(path: Path) -> None:
    lines = "".join(f"{word}\n" for word in ["w", *WORDS])
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"w": WORDS}), path, row_group_size=70)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix == ".jsonl":
        path.write_text("".join(f'{{"w": "{word}"}}\n' for word in WORDS))
    else:
        path.write_text(lines)


@pytest.mark.parametrize("block_bytes", [50, 1 << 20])
@pytest.mark.parametrize("suffix", ["parquet", "csv.gz", "csv", "tsv", "jsonl"])
def test_records_are_numbered_by_file_whatever_the_blocks(
    tmp_path: Path, suffix: str, block_bytes: int
) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        _write(path)
    files = find_files("log", LogFiles(path=f"{tmp_path}/*.{suffix}"), "data.log")
    headers = {file.path: inspect_file(file, FIELDS)[0] for file in files}
    blocks = plan_blocks(files, headers, block_bytes, ["log"])
    rows = pa.concat_tables(t for b in blocks for t in read_block(b, FIELDS))
    assert rows.column_names[:3] == ["time", "word", "id"]
    assert rows["word"].to_pylist() == [*WORDS, *WORDS]
    assert rows["id"].to_pylist() == [f"{p}:{n}" for p in paths for n in range(300)]
    assert rows["time"].to_pylist() == [
        start + number for start in (0, 10**9) for number in range(300)
    ]
    assert rows["reason"].to_pylist() == [0] * 600
