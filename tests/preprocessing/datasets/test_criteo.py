"""Criteo's layout becomes an impression log, or an error that names the line."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from preprocessing.datasets.criteo import COLUMNS, convert_criteo


def line(label="0", counts=None, categories=None):
    return "\t".join([label, *(counts or [""] * 13), *(categories or [""] * 26)]) + "\n"


LINES = [
    line("0", [str(n) for n in range(13)], [f"{n:08x}" for n in range(26)]),
    line("1", ["-2", *[""] * 11, "7"], ['"quoted', *["68fd1e64"] * 24, ""]),
    line("0"),
]


def rows_of(folder):
    files = sorted(folder.glob("impressions-*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


def write(path, text):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz"])
def test_values_and_row_numbers(tmp_path, name) -> None:
    source = write(tmp_path / name, "".join(LINES))
    counts = convert_criteo(source, tmp_path / "logs")
    assert counts == {"rows": 3, "positives": 1}
    rows = rows_of(tmp_path / "logs")
    assert list(rows[0]) == ["row", *COLUMNS]
    assert [r["row"] for r in rows] == [0, 1, 2]
    assert [r["label"] for r in rows] == [0, 1, 0]
    assert [rows[0][f"I{n}"] for n in range(1, 14)] == list(range(13))
    assert rows[0]["C26"] == f"{25:08x}"
    assert (rows[1]["I1"], rows[1]["I2"], rows[1]["I13"]) == (-2, None, 7)
    assert (rows[1]["C1"], rows[1]["C2"], rows[1]["C26"]) == ('"quoted', "68fd1e64", "")
    assert all(rows[2][f"C{n}"] == "" for n in range(1, 27))


def test_numbers_go_on_over_blocks_and_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("preprocessing.datasets.criteo._BLOCK_BYTES", 2_000)
    source = write(tmp_path / "train.txt", "".join(LINES * 40))
    convert_criteo(source, tmp_path / "logs", rows_per_file=50)
    assert len(list((tmp_path / "logs").iterdir())) > 1
    rows = rows_of(tmp_path / "logs")
    assert [r["row"] for r in rows] == list(range(120))
    assert [r["label"] for r in rows] == [0, 1, 0] * 40


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*LINES, "1\t2\n"], "line 4: found 2 tab-separated values, expected 40"),
        ([LINES[0], LINES[1][:-1] + "\tx\n"], "line 2: found 41 tab-separated values"),
        ([LINES[0], "\n", LINES[1]], "line 2: the label is missing"),
        ([line("2")], "line 1: the label is 2, expected 0 or 1"),
        ([LINES[0], line("0", ["many", *[""] * 12])], "Row #2.*'many'"),
        ([], "Empty CSV file"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_left(tmp_path, lines, message) -> None:
    source = write(tmp_path / "train.txt", "".join(lines))
    with pytest.raises(DataError, match=message):
        convert_criteo(source, tmp_path / "logs")
    assert [p.name for p in tmp_path.iterdir()] == ["train.txt"]


def test_the_line_number_counts_over_blocks(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("preprocessing.datasets.criteo._BLOCK_BYTES", 2_000)
    text = "".join(LINES * 40)
    source = write(tmp_path / "short.txt", text + "0\n")
    with pytest.raises(DataError, match="line 121: found 1 "):
        convert_criteo(source, tmp_path / "logs")
    source = write(tmp_path / "label.txt", text + line("7"))
    with pytest.raises(DataError, match="line 121: the label is 7"):
        convert_criteo(source, tmp_path / "logs")
    source = write(tmp_path / "text.txt", text + line("0", ["x"] * 13))
    with pytest.raises(DataError, match="Row #121"):
        convert_criteo(source, tmp_path / "logs")


def test_missing_and_truncated_files(tmp_path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        convert_criteo(tmp_path / "train.txt", tmp_path / "logs")
    whole = gzip.compress("".join(LINES).encode())
    (tmp_path / "cut.gz").write_bytes(whole[:-12])
    with pytest.raises(DataError, match=r"cut\.gz"):
        convert_criteo(tmp_path / "cut.gz", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_the_public_rows(tmp_path, public_data) -> None:
    source = public_data("criteo_first80k") / "criteo_first80k.tsv.gz"
    counts = convert_criteo(source, tmp_path / "logs")
    # 17,958 lines begin with 1: zcat FILE | grep -c ^1
    assert counts == {"rows": 80_000, "positives": 17_958}
    with gzip.open(source, "rt") as file:
        expected = [next(file).rstrip("\n").split("\t") for _ in range(50)]
    for row, values in zip(rows_of(tmp_path / "logs"), expected, strict=False):
        found = ["" if v is None else str(v) for v in list(row.values())[1:]]
        assert found == values
