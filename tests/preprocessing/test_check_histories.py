"""Logged histories against those built of events."""

import gzip
from itertools import islice
from pathlib import Path

import pytest

from configs import Job, JobError, dump_job, load_job
from preprocessing.check_histories import check_histories, twin_job
from preprocessing.cli import main
from preprocessing.datasets.globo import GloboSettings, convert_globo
from tests.oracles import point_in_time
from tests.preprocessing.making_jobs import random_logs, small_job, write_logs

CLICKS = 6_000
"""Of the Globo log: the first hour of it."""


def logged_job(root: Path) -> tuple[Job, int, int]:
    """Writes logs whose histories are those of the clicks, but for some rows; returns
    the job, the impressions that count, and those of them that are spoiled."""
    shown, clicks, conversions = random_logs(4)
    users = point_in_time.behaviours(shown, clicks, conversions)["click"]
    for number, row in enumerate(shown):
        of_user = users.get(row["user"], [])
        history = point_in_time.history(of_user, row["time"], 0, 3)
        row["history_item"] = [values["item"] for _, _, values in history]
        row["history_age"] = [(row["time"] - t) / 1e3 for t, _, _ in history]
        if number % 5 == 0 and history:
            row["history_item"][0] = "another"
        row["spoiled"] = number % 5 == 0 and bool(history)
    write_logs(root, (shown, clicks, conversions))
    last = max(r["time"] for log in (shown, clicks, conversions) for r in log)
    counted = [
        row
        for row in point_in_time.first_of_each(shown, "impression", "item").values()
        if row["time"] + 300 <= last
    ]
    return small_job(root), len(counted), sum(row["spoiled"] for row in counted)


def test_logged_histories_that_differ_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, rows, spoiled = logged_job(tmp_path)
    found = check_histories(job, source="click", unit="s")
    assert spoiled > 5
    assert (found.rows, found.longer, found.shorter) == (rows, 0, 0)
    # Duplicated rows with one time count by their content, spoiled or not.
    assert abs(found.rows - found.equal - spoiled) <= 2
    assert found.differing == {"item": found.rows - found.equal, "age": 0}
    assert not list(tmp_path.glob(".histories-*"))
    path = tmp_path / "job.yaml"
    path.write_text(dump_job(job))
    assert main(["check-histories", str(path)]) == 2
    assert "--from click" in capsys.readouterr().err
    assert main(["check-histories", str(path), "--from", "click", "--unit", "m"]) == 0
    assert f"of {rows} histories agree" in capsys.readouterr().out


def test_which_sequence_must_be_clear(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    with pytest.raises(JobError, match="Say --feature with one of"):
        check_histories(job, "none", source="click")
    other = small_job(
        tmp_path, "features.history.fields.item={embedding: {buckets: 3}}"
    )
    with pytest.raises(JobError, match="in which column"):
        twin_job(other, "history", "examples", "click", "0s", "h")


def test_globo_histories_are_those_of_the_converter(tmp_path, public_data) -> None:
    source = public_data("globo_clicks") / "globo_clicks.csv.gz"
    clicks = tmp_path / "clicks.csv"
    with gzip.open(source, "rt") as lines:
        clicks.write_text("".join(islice(lines, CLICKS + 1)))
    settings = GloboSettings(window="1h", negatives=2)
    convert_globo(clicks, tmp_path / "logs", settings)
    # The converter knows all clicks; only some of them became impressions.
    behaviours = f"{{path: {clicks}, user: user_id, time: click_timestamp}}"
    job = load_job(
        Path(__file__).parents[2] / "configs/globo.yaml",
        [
            f"data.impressions.path={tmp_path}/logs/impressions-*.parquet",
            f"data.events.click.path={tmp_path}/logs/clicks-*.parquet",
            f"data.examples={tmp_path}/examples",
            f"data.behaviours={{read: {behaviours}}}",
            "features.history.from=read",
            "features.history.fields.article.column=click_article_id",
        ],
    )
    found = check_histories(job, tolerance=0.001)
    assert found.equal == found.rows > 10_000
