"""Scoring of files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError, ExportError
from serving.predict import Scored, predict_file
from tests.serving.models import ROW, ROWS


def write(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def version(full_models: Path) -> Path:
    return full_models / "1"


def test_lines_of_output_are_those_of_input(version: Path, tmp_path: Path) -> None:
    rows = [{**ROWS[i % 5], "impression_id": i, "label": 1} for i in range(2_500)]
    source, output = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    assert predict_file(version, source, output) == Scored(rows=2_500, skipped=0)
    scores = read(output)
    golden = [
        json.loads(line)["predictions"]
        for line in (version / "assets.extra/golden.jsonl").read_text().splitlines()
    ]
    assert len(scores) == 2_500
    for i, score in enumerate(scores):
        assert score == pytest.approx(golden[i % 5], abs=1e-6)


def test_gzip_in_and_out(version: Path, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl.gz"
    with gzip.open(source, "wt") as file:
        file.write(json.dumps(ROW) + "\n")
    predict_file(version, source, tmp_path / "out.jsonl.gz")
    with gzip.open(tmp_path / "out.jsonl.gz", "rt") as file:
        (score,) = [json.loads(line) for line in file]
    assert list(score) == ["click", "conversion"]
    cut = source.read_bytes()[:-6]
    source.write_bytes(cut)
    with pytest.raises(DataError, match="Is it truncated"):
        predict_file(version, source, tmp_path / "again.jsonl")
    assert not list(tmp_path.glob("*again*"))


def test_standard_output(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_file(version, write(tmp_path / "rows.jsonl", ROWS[:2]))
    lines = capsys.readouterr().out.splitlines()
    assert [list(json.loads(line)) for line in lines] == [["click", "conversion"]] * 2


BAD: list[tuple[Any, str]] = [
    ("{", "expected a JSON object, found no JSON"),
    ("", "expected a JSON object, found no JSON"),
    ([1], "expected a JSON object, found a list of 1"),
    ({**ROW, "age": "x"}, "feature 'age': expected a number, found the text"),
    ({**ROW, "price": 1e39}, "feature 'price': expected a finite number"),
    ({k: v for k, v in ROW.items() if k != "tags"}, "feature 'tags': expected"),
    ({**ROW, "look": [1]}, "feature 'look': expected a list of 3 numbers"),
    ({**ROW, "history_days": [1]}, "feature 'history_days': expected a list as long"),
]


@pytest.mark.parametrize(("row", "text"), BAD)
def test_bad_row_is_named_by_line(
    version: Path, tmp_path: Path, row: Any, text: str
) -> None:
    source = write(tmp_path / "rows.jsonl", [ROW] * 1_500 + [row, ROW])
    output = tmp_path / "out.jsonl"
    output.write_text("before")
    with pytest.raises(DataError) as caught:
        predict_file(version, source, output)
    assert f"rows.jsonl, line 1501: {text}" in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    assert output.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2


def test_skipped_rows_keep_their_lines(version: Path, tmp_path: Path) -> None:
    rows = [row for bad, _ in BAD for row in (bad, ROW)]
    source, output = write(tmp_path / "rows.jsonl", rows), tmp_path / "out.jsonl"
    scored = predict_file(version, source, output, skip_bad=True)
    assert scored == Scored(rows=len(BAD), skipped=len(BAD))
    scores = read(output)
    assert scores[::2] == [None] * len(BAD)
    assert all(s == pytest.approx(scores[1], abs=1e-6) for s in scores[1::2])


def test_files_that_are_not_there(version: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no file"):
        predict_file(version, tmp_path / "absent.jsonl")
    rows = write(tmp_path / "rows.jsonl", [ROW])
    with pytest.raises(ExportError, match="is no folder"):
        predict_file(tmp_path / "7", rows)
    with pytest.raises(DataError, match="cannot be written"):
        predict_file(version, rows, tmp_path / "absent/out.jsonl")


def test_empty_file(version: Path, tmp_path: Path) -> None:
    source, output = write(tmp_path / "rows.jsonl", []), tmp_path / "out.jsonl"
    assert predict_file(version, source, output) == Scored(rows=0, skipped=0)
    assert output.read_text() == ""
