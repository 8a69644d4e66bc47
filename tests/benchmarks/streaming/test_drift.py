"""The figures of the study of drift."""

import json

import pytest

from benchmarks.streaming.drift import MODELS, draw, inside, mean, read_windows, table
from benchmarks.streaming.drift import recovered as half_recovered


def line(rows, own, best, served=None):
    """A window as the trainer writes it; AUCs are 1 - log loss here."""

    def figures(loss):
        return {"auc": 1 - loss, "log_loss": loss}

    return {
        "kind": "window",
        "rows": rows,
        "tasks": {"click": {**figures(own), "truth": figures(best)}},
        "served": served and {"version": 1, "tasks": {"click": figures(served)}},
    }


@pytest.fixture
def windows(tmp_path):
    lines = [
        {"kind": "train", "step": 1},
        line(4_000, 0.5, 0.2),
        line(4_000, 0.3, 0.2),
        line(4_000, 0.6, 0.2, served=0.61),
        line(2_000, 0.5, 0.2, served=0.62),
        line(4_000, 0.4, 0.2, served=0.63),
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in lines))
    return read_windows(path)


def test_rows_are_counted_from_the_change(windows):
    assert [w["thousands"] for w in windows] == [-6.0, -2.0, 2.0, 5.0, 8.0]
    assert [w["log_loss"] for w in windows][1:3] == [
        dict(zip(MODELS, (0.3, 0.3, 0.2), strict=True)),
        dict(zip(MODELS, (0.6, 0.61, 0.2), strict=True)),
    ]


def test_windows_weigh_by_their_rows(windows):
    assert len(inside(windows, (0, 10))) == 3
    expected = (4 * 0.6 + 2 * 0.5 + 4 * 0.4) / 10
    assert mean(windows, (0, 10), "log_loss", MODELS[0]) == pytest.approx(expected)
    assert mean(windows, (50, 100), "auc", MODELS[0]) is None


def test_half_of_the_loss_is_made_up_at_the_middle_of_before_and_after(windows):
    # Beyond the best reachable: 0.2 before the change, 0.3 in the windows behind it.
    assert half_recovered(windows) == 8.0
    assert half_recovered(windows[:2]) is None


def test_table_and_plot_of_several_seeds(windows, tmp_path):
    text = table([windows, windows])
    assert "| 0 to 10 | 3 | 0.5000 ± 0.0000 | 0.3800 ± 0.0000 |" in text
    assert "made up after 8 ± 0 thousand rows" in text
    draw([windows, windows], tmp_path / "drift.png")
    assert (tmp_path / "drift.png").stat().st_size > 10_000
