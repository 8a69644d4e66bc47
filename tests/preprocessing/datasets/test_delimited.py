"""Lines of text become batches, or an error that names the file and the line."""

import gzip

import pyarrow as pa
import pytest

from configs.errors import DataError
from preprocessing.datasets import delimited
from preprocessing.datasets.delimited import Layout, file_in, read_batches

LAYOUT = Layout(
    of="a small file",
    types={"a": pa.int64(), "b": pa.string(), "c": pa.float64()},
    nullable=("c",),
    null_texts=("NULL",),
)
GOOD = "a,b,c\n1,x,0.5\n2,,NULL\n3,z,\n"


def read(path, layout=LAYOUT):
    return [
        (line + place, row)
        for line, batch in read_batches(path, layout)
        for place, row in enumerate(batch.to_pylist())
    ]


def put(folder, text, name="file.csv"):
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["file.csv", "file.csv.gz"])
def test_values_and_lines(tmp_path, name):
    assert read(put(tmp_path, GOOD, name)) == [
        (2, {"a": 1, "b": "x", "c": 0.5}),
        (3, {"a": 2, "b": "", "c": None}),
        (4, {"a": 3, "b": "z", "c": None}),
    ]


def test_columns_may_stand_in_any_order_and_blanks_in_the_header(tmp_path):
    path = put(tmp_path, "\ufeffc,a ,b\n0.5,1,x\n")
    assert read(path) == [(2, {"a": 1, "b": "x", "c": 0.5})]


def test_gzip_is_told_by_its_bytes(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert len(read(path)) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,x\n", r"file\.csv, line 1: .*lacks c, and has besides nothing"),
        ("a,b,c,d\n1,x,1,1\n", "line 1: .*lacks nothing, and has besides 'd'"),
        (GOOD + "4,x\n", r"file\.csv, line 5: found 2 values, expected 3"),
        (GOOD + "4,x,1,1\n", "line 5: found 4 values"),
        (GOOD + "\n", "line 5: the a is missing"),
        (GOOD + "many,x,1\n", "line 5: .*'many'"),
        (GOOD + ",x,1\n", "line 5: the a is missing"),
        (GOOD + "5,x,1\n6,x,1\nNULL,x,1\n", "line 7: the a is missing"),
        ("a,b,c\n", "Empty CSV file"),
        ("", "line 1: the header"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(put(tmp_path, text))


def test_lines_are_counted_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)
    text = GOOD + "7,x,1\n" * 90
    lines = [line for line, _ in read(put(tmp_path, text))]
    assert lines == list(range(2, 95))
    for wrong, message in (
        ("8,x\n", "found 2"),
        ("x,x,1\n", "'x'"),
        (",x,1\n", "the a"),
    ):
        with pytest.raises(DataError, match=f"line 95: .*{message}"):
            read(put(tmp_path, text + wrong))


def test_files_that_were_cut_off(tmp_path, capsys):
    whole = gzip.compress((GOOD + "7,x,1\n" * 90).encode())
    path = tmp_path / "cut.csv.gz"
    for end in (-9, -12, len(whole) // 2):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut\.csv\.gz, line \d+: .*runcated"):
            read(path)
    assert capsys.readouterr().err == ""
    assert len(read(put(tmp_path, GOOD + "4,x,12"))) == 4
    assert "ends inside line 5, without a newline" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"holds no train\.csv .*but other\.csv"):
        put(tmp_path, "", "other.csv")
        file_in(tmp_path, "train.csv")
    with pytest.raises(DataError, match="is no folder"):
        file_in(tmp_path / "none", "train.csv")
    assert file_in(tmp_path, "other.csv") == tmp_path / "other.csv"
    put(tmp_path, "", "more.csv.gz")
    assert file_in(tmp_path, "more.csv").name == "more.csv.gz"
