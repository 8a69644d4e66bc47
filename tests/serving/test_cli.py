"""The commands, in this process."""

import json
import shlex
from pathlib import Path

import pytest

from serving.cli import main
from tests.serving.models import ROW


def test_describe_prints_a_request_that_works(
    full_models: Path, ask: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", str(full_models / "1")]) == 0
    text = capsys.readouterr().out
    assert "  item_id: an integer\n" in text
    assert "  look: a list of 3 numbers\n" in text
    assert "  history_days: a list of numbers, as long as history_item\n" in text
    words = shlex.split(text[text.index("curl") :].replace("\\\n", ""))
    assert words[3].endswith("/v1/models/shop:predict")
    assert callable(ask)
    status, answer = ask("POST", "/v1/models/shop:predict", words[2].encode())
    assert (status, len(answer["predictions"])) == (200, 1)


def test_predict_counts(
    full_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n5\n")
    assert main(["predict", str(full_models / "1"), str(rows)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {rows}, line 2: expected a JSON object")
    output = tmp_path / "out.jsonl"
    arguments = ["predict", str(full_models / "1"), str(rows), "--skip-bad"]
    assert main([*arguments, "--output", str(output)]) == 0
    assert capsys.readouterr().err == "1 rows scored, 1 skipped\n"
    assert output.read_text().splitlines()[1] == "null"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["describe", "/absent"], "was not exported by"),
        (["serve", "/absent", "--name", "x"], "does not exist"),
        (["export", "/absent.yaml"], "cannot read the job file"),
    ],
)
def test_what_is_not_there(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert text in capsys.readouterr().err


def test_numbers_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", "job.yaml", "--version", "0"])
    assert caught.value.code == 2
    assert "expected a positive integer, got '0'" in capsys.readouterr().err
