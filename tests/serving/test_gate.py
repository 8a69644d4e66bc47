"""The gate: a table of windows and what becomes of a checkpoint."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.stream import Gate
from serving.gate import Verdict, judge
from serving.windows import _figures, pooled, read_windows
from tests.serving.published_runs import figures, window

GATE = Gate(windows=3, min_rows=1000, calibration=0.2, log_loss=0.01, max_age="1h")


def judged(
    tmp_path: Path,
    lines: list[dict[str, Any]],
    *,
    served: int | None = None,
    age: float = 0.0,
    sampled: bool = False,
    tasks: tuple[str, ...] = ("click",),
    gate: Gate = GATE,
) -> Verdict:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    windows = read_windows(path, until_step=100, at_most=30)
    return judge(
        windows,
        tasks=tasks,
        gate=gate,
        served=served,
        age_seconds=age,
        sampled=sampled,
    )


def three(**changes: Any) -> list[dict[str, Any]]:
    return [window(step, **changes) for step in (10, 20, 30)]


def test_a_good_checkpoint_passes(tmp_path: Path) -> None:
    verdict = judged(tmp_path, three(served=4), served=4)
    assert (verdict.action, verdict.reasons, verdict.notes) == ("publish", (), ())
    assert verdict.figures["click"] == {
        "rows": 3000,
        "positives": 300,
        "log_loss": 0.3,
        "calibration": 1.0,
        "calibration_error": pytest.approx(0.1 / math.sqrt(3), abs=1e-6),
        "compared_rows": 3000,
        "served_log_loss": 0.3,
        "worse_than_served": 0.0,
    }


REFUSED: list[tuple[str, list[dict[str, Any]], dict[str, Any], str]] = [
    ("reject", three(log_loss=None), {}, "click: not finite in the window of step 10"),
    ("reject", three(predicted_rate=None), {}, "not finite"),
    ("reject", three(predicted_rate=0.05), {}, r"calibration 0.500 \(\+- 0.115"),
    ("reject", three(predicted_rate=0.14), {}, "calibration 1.400"),
    ("reject", three(), {"age": 3700.0}, "62 minutes old, and max_age is 1h"),
    ("reject", three(), {"sampled": True}, "all rows weigh 1"),
    ("reject", three(weight=None), {"sampled": True}, "do not say what rows weigh"),
    ("reject", three(log_loss=0.32, served=4), {"served": 4}, "6.7% worse than"),
    ("wait", [], {}, "no window up to this checkpoint"),
    ("wait", [window(120)], {}, "no window up to this checkpoint"),
    ("wait", [{**window(30), "rows": 999}], {}, "999 rows in the last 1 windows"),
    ("wait", three(positives=5, calibration_error=0.4), {}, "15 positives are too few"),
    ("wait", three(), {"served": 4}, "version 4 has been scored on 0 rows"),
    ("wait", three(served=3), {"served": 4}, "version 4 has been scored on 0 rows"),
    (
        "reject",
        three(),
        {"tasks": ("click", "like")},
        "like: the window of step 10 say",
    ),
]


@pytest.mark.parametrize(
    ("action", "lines", "given", "reason"), REFUSED, ids=range(len(REFUSED))
)
def test_what_does_not_pass(
    action: str,
    lines: list[dict[str, Any]],
    given: dict[str, Any],
    reason: str,
    tmp_path: Path,
) -> None:
    verdict = judged(tmp_path, lines, **given)
    assert verdict.action == action
    assert len(verdict.reasons) == 1
    assert re.search(reason, verdict.reasons[0])


def test_what_passes_all_the_same(tmp_path: Path) -> None:
    # Off, but within the tolerance; worse, but within it; better; heavier rows.
    for changes in (
        {"predicted_rate": 0.118},
        {"log_loss": 0.3025},
        {"log_loss": 0.2},
        {"weight": 1900.0},
        {"served_figures": {"log_loss": None}},
    ):
        verdict = judged(tmp_path, three(served=4, **changes), served=4)
        assert verdict.action == "publish", (changes, verdict)


def test_chance_is_allowed_for(tmp_path: Path) -> None:
    """38% off with 100 positives is chance to a good part; with 3,000 it is not."""
    few = three(predicted_rate=0.138, positives=33, calibration_error=0.17)
    assert judged(tmp_path, few).action == "publish"
    many = three(predicted_rate=0.138, positives=1000, calibration_error=0.03)
    assert judged(tmp_path, many).action == "reject"
    # Paired errors of the log loss: what differs by chance is no loss.
    chance = three(served=4, log_loss=0.32)
    for line in chance:
        line["served"]["tasks"]["click"]["log_loss_difference_error"] = 0.02
    assert judged(tmp_path, chance, served=4).action == "publish"


def test_rare_labels_look_further_back(tmp_path: Path) -> None:
    rare = {"positives": 20, "calibration_error": 1 / math.sqrt(20)}
    lines = [window(step, predicted_rate=0.1, **rare) for step in range(1, 11)]
    verdict = judged(tmp_path, lines)
    assert verdict.action == "publish"
    assert verdict.figures["click"]["positives"] == 100  # five windows
    # One task that can be told is enough; the other is only noted.
    for line in lines:
        line["tasks"]["like"] = figures(rows=3, positives=0, observed_rate=0.0)
        line["tasks"]["like"] |= {"calibration": None, "calibration_error": None}
    verdict = judged(tmp_path, lines, tasks=("click", "like"))
    assert verdict.action == "publish"
    assert "like: 0 positives are too few" in verdict.notes[0]


def test_nan_further_back_is_forgotten(tmp_path: Path) -> None:
    lines = [window(5, log_loss=None, predicted_rate=None), *three()]
    assert judged(tmp_path, lines).action == "publish"


def test_pooling_is_what_one_window_of_all_rows_says() -> None:
    generator = np.random.default_rng(1)
    p = generator.uniform(0.02, 0.4, 6_000)
    y = (generator.random(len(p)) < p).astype(float)
    w = np.where(y == 1, 1.0, 4.0)

    def of(rows: slice) -> Any:
        a, b, c = p[rows], y[rows], w[rows]
        return {
            "rows": len(a),
            "weight": c.sum(),
            "positives": int(b.sum()),
            "log_loss": -np.average(b * np.log(a) + (1 - b) * np.log1p(-a), weights=c),
            "predicted_rate": np.average(a, weights=c),
            "observed_rate": np.average(b, weights=c),
            "calibration_error": math.sqrt(np.sum((c * (a - b)) ** 2)) / np.sum(c * b),
        }

    whole = _figures(of(slice(None)))
    parts = [of(slice(0, 1000)), of(slice(1000, 1500)), of(slice(1500, None))]
    together = pooled([_figures(part) for part in parts])
    for name in ("rows", "positives", "weight", "log_loss", "predicted", "observed"):
        assert getattr(together, name) == pytest.approx(getattr(whole, name)), name
    assert together.error == pytest.approx(whole.error)
    assert together.calibration == pytest.approx(np.dot(w, p) / np.dot(w, y))


def test_the_file_is_read_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps(window(step)) for step in range(1, 41)]
    other = json.dumps({"kind": "train", "step": 41, "loss": 1.0})
    path.write_text("\n".join([*lines, other, "no JSON", '["kind"]', lines[0][:50]]))
    monkeypatch.setattr("serving.windows._TAIL_BYTES", 1000)
    found = read_windows(path, until_step=35, at_most=10)
    assert [w.step for w in found] == list(range(26, 36))
    assert len(read_windows(path, until_step=35, at_most=100)) == 35
    assert read_windows(tmp_path / "absent", until_step=1, at_most=3) == []


def test_evaluations_count_as_windows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    line = {"kind": "validation", "step": 7, "epoch": 1, "click": figures()}
    path.write_text(json.dumps(line) + "\n")
    (found,) = read_windows(path, until_step=7, at_most=3)
    assert (found.kind, found.rows, found.tasks["click"].log_loss) == (
        "validation",
        1000,
        0.3,
    )
