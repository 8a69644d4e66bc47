"""Lines of steps that will be made again are removed, and what a kill left."""

import json
from pathlib import Path

import pytest

from trainer.journal import Journal


def lines_after(tmp_path: Path, text: str, step: int) -> str:
    file = tmp_path / "metrics.jsonl"
    file.write_text(text)
    Journal(file, tmp_path / "tensorboard", step=step).close()
    return file.read_text()


WHOLE = "".join(json.dumps({"kind": "x", "step": k}) + "\n" for k in (1, 2, 2, 3))


@pytest.mark.parametrize(
    ("text", "step", "lines"),
    [
        (WHOLE, 3, 4),
        (WHOLE, 2, 3),
        (WHOLE, 0, 0),
        (WHOLE + '{"kind": "x", "st', 3, 4),
        (WHOLE + '{"kind": "x", "step": 3}', 3, 4),  # nor is a line without its end
        ("", 3, 0),
    ],
)
def test_later_lines_and_half_ones_are_removed(
    tmp_path: Path, text: str, step: int, lines: int
) -> None:
    expected = "".join(WHOLE.splitlines(keepends=True)[:lines])
    assert lines_after(tmp_path, text, step) == expected


def test_a_long_file_is_read_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.journal._TAIL_BYTES", 50)
    lines = [json.dumps({"step": k // 3, "text": "x" * k}) + "\n" for k in range(60)]
    for step in (-1, 0, 7, 18, 19):
        kept = lines[: 3 * (step + 1)]
        assert lines_after(tmp_path, "".join(lines), step) == "".join(kept)
        assert lines_after(tmp_path, "".join(lines) + "{", step) == "".join(kept)


def test_what_is_plotted_does_not_change_what_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "m.jsonl", tmp_path / "tensorboard", step=0)
    values = {"a": 1.0, "b": float("nan"), "c": {"d": "text"}}
    journal.write("window", step=1, epoch=0, values=values, plotted={"a": 1.0})
    journal.close()
    line = json.loads((tmp_path / "m.jsonl").read_text())
    assert line == {
        "kind": "window",
        "step": 1,
        "epoch": 0,
        "a": 1.0,
        "b": None,
        "c": {"d": "text"},
    }
