"""Two days compared: every figure by hand, limits, exit codes, reports."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from configs import parse_job
from configs.canonical import MISSING
from preprocessing.cli import main
from preprocessing.comparison.compare import Comparison, compare
from preprocessing.comparison.example_sets import MISSING_FINGERPRINT, find_sets
from preprocessing.fingerprinting import fingerprints_of
from tests.preprocessing.making_jobs import run, write_lines

JOB = """
name: drift
data:
  impressions: {root}/{day}.jsonl
  examples: {root}/sets/{day}
  run: {root}/run
  models: {root}/models
features:
  color: {kind: categorical, embedding: {buckets: 10}}
  price: {kind: numeric}
  tags: {kind: multi_valued, embedding: {buckets: 10}}
  steady: {kind: categorical, embedding: {buckets: 10}}
ids: {event: id, time: time}
labels: {click: {column: click}}
preprocessing:
  split: {by: hash, validation: 0.0, test: 0.0}
  buckets: 2
  golden_rows: 50
  dead_letters: {max_share: 1.0}
  drift: {fail: {new_values: 0.5}, ignore: [tags]}
model:
  embedding_dim: 4
  backbone: {name: dcn_v2}
  tasks: {click: {losses: [{name: bce}]}}
"""


def rows(count: int, day: int) -> list[dict[str, Any]]:
    """Day 1: 1/4 clicks, red and blue, prices 1 and 2. Day 2: 1/2 clicks, a tenth of
    the colors missing, half green, all prices 8, no tags."""
    records = []
    for number in range(count):
        record: dict[str, Any] = {
            "id": f"{day}-{number}",
            "time": number,
            "steady": f"s{number % 3}",
        }
        if day == 1:
            record |= {
                "click": int(number % 4 == 0),
                "color": ("red", "blue")[number % 2],
                "price": 1 + number % 2,
                "tags": ["a"],
            }
        else:
            record |= {
                "click": int(number % 2 == 0),
                "color": None if number % 10 == 3 else ("green", "red")[number % 2],
                "price": 8,
                "tags": [],
            }
        records.append(record)
    return records


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drift")
    for day, count in ((1, 400), (2, 1_000)):
        records: list[Any] = rows(count, day)
        if day == 2:
            records += ["not JSON"] * 10
        write_lines(root / f"day{day}.jsonl", records)
        text = JOB.replace("{root}", str(root)).replace("{day}", f"day{day}")
        run(parse_job(text))
    return root / "sets"


@pytest.fixture(scope="module")
def found(days: Path) -> Comparison:
    before, after = find_sets([days])
    return compare(before, after, after.drift)


def figures(found: Comparison, measure: str) -> dict[str, Any]:
    return {d.what: d for d in found.differences if d.measure == measure}


def test_counts_and_rates(found: Comparison) -> None:
    assert (found.before, found.after) == ("day1", "day2")
    read = figures(found, "rows")["impressions read"]
    assert (read.before, read.after, read.size) == (400, 1_010, 1.525)
    assert (read.level, read.limit) == ("warn", 0.5)
    dead = figures(found, "dead")["impressions dead"]
    assert (dead.before, dead.after) == (0.0, 10 / 1_010)
    assert dead.level == "warn"
    click = figures(found, "label_rate")["label click"]
    assert (click.before, click.after) == (0.25, 0.5)
    # Less two standard errors of 100 in 400 and 500 in 1,000: 600 in 1,400.
    rate = 600 / 1_400
    error = math.sqrt(rate * (1 - rate) * (1 / 400 + 1 / 1_000))
    assert click.size == pytest.approx((0.25 - 2 * error) / 0.25)
    assert click.level == "warn"


def test_missing_and_new_values(found: Comparison) -> None:
    missing = figures(found, "missing")
    assert (missing["color"].before, missing["color"].after) == (0.0, 0.1)
    assert missing["color"].level == "warn"
    assert (missing["tags"].before, missing["tags"].after) == (0.0, 1.0)
    assert missing["tags"].level == ""  # ignored
    assert missing["price"].size == missing["steady"].size == 0.0
    fresh = figures(found, "new_values")
    # 500 green of 900 colors that are there.
    assert fresh["color"].after == pytest.approx(500 / 900)
    assert fresh["color"].level == "fail"
    assert fresh["steady"].after == 0.0


def test_distances(found: Comparison) -> None:
    divergence = figures(found, "jensen_shannon")
    # No price in common; nothing changed in `steady` but rounding (334, 333, 333).
    assert divergence["price"].after == pytest.approx(1.0)
    assert divergence["steady"].after < 1e-4
    index = figures(found, "psi")
    assert index["steady"].level == "" and index["steady"].size == 0.0
    assert index["price"].level == index["color"].level == "warn"
    assert figures(found, "mean")["price"].after == 8.0
    assert found.level == "fail"


def test_the_missing_value_has_this_fingerprint() -> None:
    texts = pa.array([MISSING], pa.string())
    assert fingerprints_of(texts).tolist() == [MISSING_FINGERPRINT]


def test_the_command(days: Path, tmp_path: Path, capsys: Any) -> None:
    page, figures = tmp_path / "drift.html", tmp_path / "drift.json"
    files = ["--html", str(page), "--json", str(figures)]
    assert main(["compare", str(days), *files]) == 3
    printed = capsys.readouterr().out
    assert "day2 against day1" in printed
    assert "label click" in printed and "+100.0%" in printed
    assert "FAIL color: new values differs by 55.56%, beyond 0.5" in printed
    # Names are those of golden rows: half the rows are green, and none was.
    assert "most of all: " in printed
    assert "green 0.0% > 50.0%" in printed and "blue 50.0% > 0.0%" in printed
    [record] = json.loads(figures.read_text())
    assert record["level"] == "fail" and len(record["differences"]) > 15
    text = page.read_text()
    assert text.count("<svg") == 4 and 'class="fail"' in text
    both = [str(days / "day1"), str(days / "day2")]
    assert main(["compare", *both, "--fail", "new_values=0.6"]) == 0
    assert main(["compare", *both, "--fail", "label_rate=0.7"]) == 3
    assert main(["compare", both[0], both[0]]) == 0


def test_wrong_arguments_say_what_is_wrong(days: Path, capsys: Any) -> None:
    both = [str(days / "day1"), str(days / "day2")]
    assert main(["compare", *both, "--warn", "psy=1"]) == 2
    assert "Did you mean 'psi'?" in capsys.readouterr().err
    assert main(["compare", *both, "--warn", "psi"]) == 2
    assert "expected FIGURE=LIMIT" in capsys.readouterr().err
    assert main(["compare", both[0]]) == 2
    assert "expected two or more" in capsys.readouterr().err
    assert main(["compare", str(days.parent / "absent")]) == 2
    assert "no folder of example sets" in capsys.readouterr().err


def test_daily_runs_stop_where_a_difference_fails(tmp_path: Path, capsys: Any) -> None:
    text = JOB.replace("{root}/{day}.jsonl", "{root}/day-{day}.jsonl")
    text = text.replace("sets/{day}", "sets").replace("{root}", str(tmp_path))
    (tmp_path / "job.yaml").write_text(text)
    for day in (1, 2):
        records = [
            record | {"time": record["time"] + day * 86_400_000}
            for record in rows(300, day)
        ]
        write_lines(tmp_path / f"day-1970-01-{day + 1:02}.jsonl", records)
    command = ["run", str(tmp_path / "job.yaml"), "--compare", "--days"]
    assert main([*command, "1970-01-02..1970-01-03"]) == 3
    printed = capsys.readouterr().out
    assert "there is no" in printed and "to compare 1970-01-02 with" in printed
    assert "1970-01-03 against 1970-01-02" in printed
    assert "FAIL color: new values differs by 55.56%" in printed


def test_sets_from_before_histograms_are_compared_by_counts(days: Path) -> None:
    hidden = days / "day1" / "distributions.json"
    kept = hidden.read_bytes()
    hidden.unlink()
    try:
        before, after = find_sets([days])
        found = compare(before, after, after.drift)
    finally:
        hidden.write_bytes(kept)
    assert any("made before histograms were kept" in note for note in found.notes)
    assert figures(found, "label_rate")["label click"].before == 0.25
    assert figures(found, "mean")["price"].after == 8.0
    assert set(figures(found, "psi")) == {"color", "tags", "steady"}
