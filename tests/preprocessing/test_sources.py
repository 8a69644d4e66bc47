"""Formats, compressions and cuts all give the same records; damage is isolated."""

import bz2
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.data import LogFiles
from configs.errors import DataError
from preprocessing.blocks import plan_blocks
from preprocessing.fields import Field
from preprocessing.files import find_files
from preprocessing.inspection import inspect_file
from preprocessing.reading import read_block
from preprocessing.reasons import REASONS

FIELDS = [
    Field(name="time", column="t", kind="time", unit="s"),
    Field(name="id", column="e", kind="id"),
    Field(name="number", column="n", kind="number"),
    Field(name="code", column="c", kind="int64"),
    Field(name="word", column="w", kind="string"),
    Field(name="tags", column="g", kind="string", is_list=True),
    Field(name="ages", column="a", kind="number", is_list=True, aligned_with="tags"),
]


def _records(count: int = 500) -> list[dict[str, Any]]:
    return [
        {
            "t": 1000 + n,
            "e": f"é{n}",
            "n": None if n % 9 == 0 else n / 4,
            "c": None if n % 5 == 0 else n % 11,
            "w": f"word {n % 3}",
            "g": [f"x{n % 4}", "y"][: n % 3],
            "a": [1.5, 2.0][: n % 3],
        }
        for n in range(count)
    ]


def _read(
    path: Path, block_bytes: int = 1 << 20, **options: Any
) -> list[dict[str, Any]]:
    files = find_files("log", LogFiles(path=str(path), **options), "data.log")
    headers = {file.path: inspect_file(file, FIELDS)[0] for file in files}
    blocks = plan_blocks(files, headers, block_bytes)
    tables = [table for block in blocks for table in read_block(block, FIELDS)]
    return [dict(row) for row in pa.concat_tables(tables).to_pylist()]


def _json_lines(records: list[Any]) -> bytes:
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    return "".join(f"{line}\n" for line in lines).encode()


def _csv(
    path: Path, records: list[dict[str, Any]], delimiter: str, **options: Any
) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, **options)
        writer.writerow(records[0])
        for record in records:
            values = ["" if v is None else v for v in record.values()]
            writer.writerow(
                ["|".join(map(str, v)) if isinstance(v, list) else v for v in values]
            )


def _write(folder: Path, name: str) -> Path:
    path, records = folder / name, _records()
    data = _json_lines(records)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(data))
    elif name.endswith(".bz2"):
        path.write_bytes(bz2.compress(data))
    elif name.endswith(".zst"):
        with pa.output_stream(str(path), compression="zstd") as sink:
            sink.write(data)
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=100)
    elif name.endswith("sv"):
        _csv(path, records, "\t" if name.endswith(".tsv") else ",")
    else:
        path.write_bytes(data)
    return path


NAMES = [
    "a.jsonl",
    "a.jsonl.gz",
    "a.jsonl.bz2",
    "a.jsonl.zst",
    "a.csv",
    "a.tsv",
    "a.parquet",
]


@pytest.mark.parametrize("block_bytes", [2000, 1 << 20])
@pytest.mark.parametrize("name", NAMES)
def test_all_forms_give_the_same(tmp_path: Path, name: str, block_bytes: int) -> None:
    found = _read(_write(tmp_path, name), block_bytes)
    assert len(found) == 500
    for row, record in zip(found, _records(), strict=True):
        assert row["reason"] == 0
        assert row["time"] == record["t"] * 1000
        assert row["id"] == record["e"] and row["word"] == record["w"]
        assert row["code"] == ("" if record["c"] is None else str(record["c"]))
        assert row["tags"] == record["g"] and row["ages"] == record["a"]
        expected = record["n"]
        assert (
            row["number"] != row["number"]
            if expected is None
            else row["number"] == expected
        )


def test_csv_without_header_and_with_quotes(tmp_path: Path) -> None:
    records = _records(20)
    records[3]["w"] = 'a "quoted",\nbroken line'
    path = tmp_path / "a.csv"
    _csv(path, records, ",")
    found = _read(path, block_bytes=100)
    assert [row["word"] for row in found] == [record["w"] for record in records]
    body = path.read_text().partition("\n")[2]
    path.write_text(body)
    assert [row["word"] for row in _read(path, columns=list("tencwga"))] == [
        record["w"] for record in records
    ]


BAD_LINES = {
    "garbage": "unparsable",
    "null": "unparsable",
    "[1]": "unparsable",
    '{"t": 1, "e": "x"} {"t": 2, "e": "y"}': "unparsable",
    '{"t": 1, "e": null}': "invalid_id",
    '{"t": 1, "e": 1.5}': "invalid_id",
    '{"e": "x"}': "invalid_time",
    '{"t": "soon", "e": "x"}': "invalid_time",
    '{"t": 1, "e": "x", "n": "1"}': "wrong_type",
    '{"t": 1, "e": "x", "c": "seven"}': "wrong_type",
    '{"t": 1, "e": "x", "w": {"a": 1}}': "wrong_type",
    '{"t": 1, "e": "x", "g": "no list"}': "wrong_type",
    '{"t": 1, "e": "x", "n": 1e400}': "non_finite",
    '{"t": 1, "e": "x", "n": 1e39}': "non_finite",
    '{"t": 1, "e": "x", "g": ["a"], "a": []}': "unaligned",
    '{"t": 1, "e": "x", "w": "\\ud800"}': "wrong_type",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_is_alone(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    records: list[Any] = list(_records(300))
    records.insert(150, line)
    path.write_bytes(_json_lines(records))
    for block_bytes in (100, 1 << 20):
        found = _read(path, block_bytes)
        bad = [row for row in found if row["reason"]]
        assert len(found) == 301 and len(bad) == 1
        assert REASONS[bad[0]["reason"]] == BAD_LINES[line]
        assert bad[0]["record"] == line


def test_integers_and_texts_of_integers_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines: list[Any] = [{"t": 1, "e": 5, "c": 7, "w": 7}] * 100
    lines += [{"t": "1", "e": "5", "c": "07", "w": "7"}] * 100
    path.write_bytes(_json_lines([dict.fromkeys("tencwga"), *lines]))
    found = _read(path)[1:]
    assert {(r["time"], r["id"], r["code"], r["word"], r["reason"]) for r in found} == {
        (1000, "5", "7", "7", 0)
    }


def test_bad_text_in_a_csv_line_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    _csv(path, _records(50), "\t")
    lines = path.read_bytes().splitlines(keepends=True)
    lines.insert(9, b"1\tx\n")
    lines.insert(20, b"1\tx\t1\t1\t\xff\t\t\n")
    lines.insert(30, b"1\tx\tmany\t1\tw\t\t\n")
    path.write_bytes(b"".join(lines))
    reasons = sorted(REASONS[row["reason"]] for row in _read(path))
    assert reasons == ["ok"] * 50 + ["unparsable", "unparsable", "wrong_type"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_csv_line_with_bad_text_and_too_few_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    _csv(path, _records(50), ",")
    with path.open("ab") as file:
        file.write(b"1,\xff\xfe\n")
    with pytest.raises(DataError, match=r"Expected 7 columns, got 2.*is UTF-8"):
        _read(path)


@pytest.mark.parametrize(
    "name", ["a.jsonl.gz", "a.jsonl.bz2", "a.jsonl.zst", "a.parquet"]
)
def test_a_cut_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a.*(cut|readable)"):
        _read(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_an_absent_column_is_named(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, name)
    field = Field(name="word", column="ww", kind="string")
    [file] = find_files("log", LogFiles(path=str(path)), "data.log")
    with pytest.raises(DataError, match=r"no column 'ww'.*Did you mean 'w'\?.*t, e, n"):
        inspect_file(file, [field])


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize("kind", ["number", "int64", "time"])
def test_a_column_of_another_type_is_named(
    tmp_path: Path, name: str, kind: Any
) -> None:
    path = _write(tmp_path, name)
    [file] = find_files("log", LogFiles(path=str(path)), "data.log")
    with pytest.raises(DataError, match=r"column 'w' is no .* first 500 records"):
        inspect_file(file, [Field(name="x", column="w", kind=kind)])


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches"):
        _read(tmp_path / "*.jsonl")
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(DataError, match="is empty"):
        _read(tmp_path / "*.jsonl")
    (tmp_path / "a.log").write_text("x")
    with pytest.raises(DataError, match="cannot tell the format"):
        _read(tmp_path / "a.log")


@pytest.mark.parametrize("odd", [5.0, "7", None])
def test_long_integers_keep_their_digits_beside_floats(
    tmp_path: Path, odd: object
) -> None:
    first = 2**53 + 1  # the first integer that no float holds
    records = [{**r, "c": first + 2 * n} for n, r in enumerate(_records(100))]
    records[3]["c"] = odd
    path = tmp_path / "log.jsonl"
    path.write_bytes(_json_lines(records))
    codes = [row["code"] for row in _read(path)]
    assert codes[3] == ("" if odd is None else str(int(str(odd)[:1])))
    assert codes[4:] == [str(first + 2 * n) for n in range(4, 100)]


def test_a_fraction_among_integer_ids_is_alone(tmp_path: Path) -> None:
    records = [{**r, "e": n} for n, r in enumerate(_records(100))]
    records[3]["e"] = 1.5
    path = tmp_path / "log.jsonl"
    path.write_bytes(_json_lines(records))
    rows = _read(path)
    bad = [REASONS[row["reason"]] for row in rows if row["reason"]]
    assert bad == ["invalid_id"]
    assert [row["id"] for row in rows[4:]] == [str(n) for n in range(4, 100)]


def test_damaged_parquet_content_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(_records()), path)
    content = bytearray(path.read_bytes())
    content[20:60] = bytes(byte ^ 255 for byte in content[20:60])
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"log\.parquet cannot be read"):
        _read(path)
