"""Data sets that come split: every value, each split in its place."""

import csv
import datetime as dt
import shutil

import pyarrow as pa
import pytest

from configs.errors import DataError
from preprocessing.datasets.aliexpress import convert_aliexpress
from preprocessing.datasets.avazu import CATEGORIES, convert_avazu
from preprocessing.datasets.conversion import SPLIT_WIDTH, SPLITS, LogSettings
from preprocessing.datasets.criteo_x1 import convert_criteo_x1
from tests.preprocessing.datasets import public_files
from tests.preprocessing.datasets.test_criteo import rows_of

CONVERTERS = {
    "criteo_x1": (convert_criteo_x1, "label"),
    "avazu": (convert_avazu, "click"),
    "aliexpress": (convert_aliexpress, "click"),
}


def made(folder, name, rows=60, suffix=""):
    generate = getattr(public_files, name)
    return generate(folder / "source", rows, suffix)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("criteo_x1", ""), ("avazu", ""), ("avazu", ".gz"), ("aliexpress", "")],
)
def test_rows_positions_and_summary(tmp_path, name, suffix, capsys):
    convert, label = CONVERTERS[name]
    parts = made(tmp_path, name, suffix=suffix)
    summary = convert(tmp_path / "source", tmp_path / "logs", LogSettings())
    rows = rows_of(tmp_path / "logs")
    assert (
        [row["row"] for row in rows] == list(range(summary["rows"])) == list(range(60))
    )
    start = 0
    for split, part in parts.items():
        found = rows[start : start + part.num_rows]
        first = SPLITS.index(split) * SPLIT_WIDTH
        assert [r["position"] - first for r in found] == list(range(part.num_rows))
        labels = part[label].to_pylist()
        assert [r[label] for r in found] == labels
        assert summary[split]["rows"] == part.num_rows
        assert summary[split][f"{label}_rate"] == sum(labels) / len(labels)
        start += part.num_rows
    if name != "aliexpress":
        assert summary["as_published"] is False
        assert "not the numbers of rows" in capsys.readouterr().err


def test_values_of_criteo_x1_stay(tmp_path):
    parts = made(tmp_path, "criteo_x1")
    convert_criteo_x1(tmp_path / "source", tmp_path / "logs", LogSettings())
    expected = pa.concat_tables(parts.values()).to_pylist()
    for row, source in zip(rows_of(tmp_path / "logs"), expected, strict=True):
        assert all(row[f"I{k}"] == pytest.approx(source[f"I{k}"]) for k in range(1, 14))
        assert all(row[f"C{k}"] == str(source[f"C{k}"]) for k in range(1, 27))


def test_hours_of_avazu_become_times(tmp_path):
    parts = made(tmp_path, "avazu")
    convert_avazu(tmp_path / "source", tmp_path / "logs", LogSettings())
    expected = pa.concat_tables(parts.values()).to_pylist()
    for row, source in zip(rows_of(tmp_path / "logs"), expected, strict=True):
        time = dt.datetime.strptime(f"20{source['hour']}", "%Y%m%d%H")
        assert row["timestamp_ms"] == time.replace(tzinfo=dt.UTC).timestamp() * 1_000
        assert row["hour"] == time.hour
        assert row["weekday"] == time.weekday()
        assert row["weekend"] == (time.weekday() >= 5)
        assert all(row[name] == source[name] for name in CATEGORIES)
        assert row["id"] == source["id"]


def test_the_one_file_of_avazus_contest(tmp_path):
    made(tmp_path, "avazu")
    summary = convert_avazu(
        tmp_path / "source" / "train.csv", tmp_path / "logs", LogSettings()
    )
    assert summary["rows"] == summary["train"]["rows"] == 60 - 12 - 6


def test_searches_of_aliexpress_are_set_aside_whole(tmp_path):
    parts = made(tmp_path, "aliexpress", rows=900)
    summary = convert_aliexpress(
        tmp_path / "source", tmp_path / "logs", LogSettings(), validation_share=0.25
    )
    assert 60 < summary["validation"]["rows"] < 240
    rows = rows_of(tmp_path / "logs")
    searches = [
        {r["search_id"] for r in rows if r["position"] // SPLIT_WIDTH == k}
        for k in range(2)
    ]
    assert not searches[0] & searches[1]
    assert summary["train"]["rows"] + summary["validation"]["rows"] == (
        parts["train"].num_rows
    )
    with pytest.raises(DataError, match="validation share is 2"):
        convert_aliexpress(
            tmp_path / "source", tmp_path / "x", LogSettings(), validation_share=2
        )


def replace_value(path, line, column, value):
    lines = path.read_text().split("\n")
    values = lines[line - 1].split(",")
    values[lines[0].split(",").index(column)] = value
    lines[line - 1] = ",".join(values)
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("name", "file", "column", "value", "message"),
    [
        ("criteo_x1", "train", "label", "2", "the label label is 2"),
        ("criteo_x1", "valid", "I3", "x", "'x'"),
        ("criteo_x1", "test", "C3", "1,2", "found 41 values, expected 40"),
        ("avazu", "train", "click", "", "the click is missing"),
        ("avazu", "valid", "hour", "14103224", "the hour is 14103224"),
        ("avazu", "valid", "hour", "14093123", "the hour is 14093123"),
        ("avazu", "test", "hour", "14102124", "the hour is 14102124"),
        ("avazu", "test", "hour", "14001005", "the hour is 14001005"),
        ("aliexpress", "train", "conversion", "1", "a conversion without a click"),
        ("aliexpress", "test", "numerical_9", "", "the numerical_9 is missing"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, name, file, column, value, message):
    made(tmp_path, name)
    path = tmp_path / "source" / f"{file}.csv"
    if column == "conversion":
        replace_value(path, 5, "click", "0")
    replace_value(path, 5, column, value)
    with pytest.raises(
        DataError, match=rf"{file}\.csv, line 5: {message}|line 5: .*{value}"
    ):
        CONVERTERS[name][0](tmp_path / "source", tmp_path / "logs", LogSettings())
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_file_cut_off_in_a_line_is_refused(tmp_path, name):
    made(tmp_path, name)
    path = tmp_path / "source" / "test.csv"
    text = path.read_text().rstrip("\n")
    path.write_text(text[: text.rindex("\n") + 20])
    count = text.count("\n") + 1
    with pytest.raises(DataError, match=rf"test\.csv, line {count}: found"):
        CONVERTERS[name][0](tmp_path / "source", tmp_path / "logs", LogSettings())


@pytest.mark.parametrize("name", CONVERTERS)
def test_the_file_of_another_data_set_is_refused(tmp_path, name):
    other = {"criteo_x1": "avazu", "avazu": "aliexpress", "aliexpress": "criteo_x1"}
    made(tmp_path, other[name])
    with pytest.raises(DataError, match=r"(line 1: the header is not|holds no valid)"):
        CONVERTERS[name][0](tmp_path / "source", tmp_path / "logs", LogSettings())


def test_all_files_are_looked_for_first(tmp_path):
    made(tmp_path, "criteo_x1")
    (tmp_path / "source" / "test.csv").unlink()
    with pytest.raises(DataError, match=r"holds no test\.csv"):
        convert_criteo_x1(tmp_path / "source", tmp_path / "logs", LogSettings())


def test_the_public_sample_of_aliexpress(tmp_path, public_data):
    folder = public_data("toy_format_samples")
    (tmp_path / "source").mkdir()
    expected = []
    for split in ("train", "test"):
        path = folder / f"aliexpress_{split}_sample.csv"
        shutil.copy(path, tmp_path / "source" / f"{split}.csv")
        with path.open() as file:
            expected += list(csv.DictReader(file))
    summary = convert_aliexpress(tmp_path / "source", tmp_path / "logs", LogSettings())
    rows = rows_of(tmp_path / "logs")
    assert summary["rows"] == len(rows) == len(expected)
    for row, source in zip(rows, expected, strict=True):
        for name, value in source.items():
            assert row[name] == pytest.approx(float(value), rel=1e-6)


def test_a_split_too_large_for_its_positions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("preprocessing.datasets.conversion.SPLIT_WIDTH", 41)
    made(tmp_path, "avazu")
    with pytest.raises(DataError, match="the train split has more than 41 rows"):
        convert_avazu(tmp_path / "source", tmp_path / "logs", LogSettings())
