"""Impressions drawn for any log of clicks, held against the log row by row."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from preprocessing.cli import main
from preprocessing.datasets.clicks import (
    ClickColumns,
    DrawSettings,
    draw_impressions,
    read_log,
)

HOUR_MS = 3_600_000
START = 1_700_000_000_000
Record = dict[str, Any]


def clicks(count: int = 1_500) -> list[Record]:
    chance = random.Random(8)  # noqa: S311 (a test's)
    times = sorted(START + chance.randrange(30 * HOUR_MS) for _ in range(count))
    return [
        {
            "who": f"u{chance.randrange(150)}",
            "what": f"a{min(chance.randrange(40), chance.randrange(40))}",
            "at": time,
            "device": chance.randrange(3),
        }
        for time in times
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clicks") / "clicks.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["who", "what", "at", "device"])
        writer.writeheader()
        writer.writerows(clicks())
        file.write("u1,a1,no time,2\n")
    return path


@pytest.fixture(scope="module")
def drawn(source: Path) -> tuple[dict[str, int], list[Record], list[Record]]:
    columns = ClickColumns(user="who", item="what", time="at", context=("device",))
    target = source.parent / "out"
    counts = draw_impressions(
        read_log(str(source), columns),
        target,
        DrawSettings(negatives=3, history_length=4),
        overwrite=False,
    )
    tables = [
        pq.read_table(target / f"{name}-00000.parquet").to_pylist()
        for name in ("impressions", "clicks")
    ]
    return counts, tables[0], tables[1]


def test_every_click_is_counted_once(drawn) -> None:
    counts, impressions, clicked = drawn
    assert counts["unreadable"] == 1
    dropped = sum(n for name, n in counts.items() if name.startswith("dropped_"))
    assert counts["clicks"] + dropped == counts["clicks_read"] == 1_500
    assert len(impressions) == counts["impressions"] and len(clicked) > 500
    assert len({row["impression_id"] for row in impressions}) == len(impressions)


def test_negatives_and_histories_are_as_of_the_click(drawn) -> None:
    _, impressions, clicked = drawn
    log = clicks()
    answered = {row["impression_id"] for row in clicked}
    requests: dict[int, list[Record]] = {}
    for row in impressions:
        requests.setdefault(row["request_id"], []).append(row)
    assert len(requests) == len(clicked)
    for rows in list(requests.values())[::7]:
        first = rows[0]
        user, time = first["who"], first["timestamp_ms"]
        mine = [c["what"] for c in log if c["who"] == user and c["at"] < time]
        recent = {c["what"] for c in log if time - 6 * HOUR_MS <= c["at"] < time}
        assert len({row["what"] for row in rows}) == len(rows)
        assert sum(row["impression_id"] in answered for row in rows) == 1
        for row in rows:
            assert (row["who"], row["device"]) == (user, first["device"])
            assert row["history_what"] == mine[-4:]
            assert row["what"] in recent and row["what"] not in mine
            assert row["item_recent_clicks"] == sum(
                c["what"] == row["what"] and time - 6 * HOUR_MS <= c["at"] < time
                for c in log
            )


def test_the_last_clicks_alone_have_all_that_was_before(source: Path) -> None:
    columns = ClickColumns(user="who", item="what", time="at")
    target = source.parent / "last"
    settings = DrawSettings(last=200)
    counts = draw_impressions(
        read_log(str(source), columns), target, settings, overwrite=False
    )
    assert 0 < counts["clicks"] <= 200
    rows = pq.read_table(target / "impressions-00000.parquet").to_pylist()
    assert min(row["timestamp_ms"] for row in rows) >= clicks()[-200]["at"]
    assert max(len(row["history_what"]) for row in rows) > 3


def test_the_command(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = source.parent / "command"
    given = ["--user", "who", "--item", "what", "--time", "at", "--negatives", "2"]
    arguments = ["convert", "clicks", str(source), str(target), *given]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["clicks_read"] == 1_500
    assert main([*arguments, "--overwrite", "--window", "1s"]) == 2
    assert "no click can become a request" in capsys.readouterr().err
    wrong = ["whta" if argument == "what" else argument for argument in arguments]
    assert main([*wrong, "--overwrite"]) == 2
    assert "Did you mean 'what'?" in capsys.readouterr().err


def test_an_empty_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,what,at\nu1,a1,\n,a2,5\n")
    with pytest.raises(DataError, match="holds no click that can be read"):
        read_log(
            str(tmp_path / "a.csv"), ClickColumns(user="who", item="what", time="at")
        )
