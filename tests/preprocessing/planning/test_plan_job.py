"""A plan of logs: what the job file says, and that it runs."""

import csv
import json
from pathlib import Path

import pytest

from configs.errors import DataError
from configs.loading import load_job
from preprocessing.cli import main
from preprocessing.planning.command import plan_job
from tests.preprocessing.planning.writing_logs import shop_logs, write_shop


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("plan")
    logs = write_shop(root / "logs")
    return plan_job(
        [str(logs)], out=root / "shop.yaml", page=root / "p.html", work=str(root / "w")
    )


def test_logs_become_labels_with_windows(planned) -> None:
    job = load_job(planned.job)
    assert job.warnings() == []
    assert list(job.labels) == ["click", "order"]
    assert job.labels["click"].window == "1m"
    assert (job.labels["order"].after, job.labels["order"].window) == ("click", "1h")
    click, order = job.data.events["click"], job.data.events["order"]
    assert (click.event, click.key, click.joins) == (
        "click_id",
        "impression_id",
        "impression",
    )
    assert (order.event, order.key, order.joins) == ("order_id", "click_id", "click")
    assert job.model.tasks["order"].given == "click"


def test_ids_kinds_and_groups_are_guessed(planned) -> None:
    job = load_job(planned.job)
    ids = job.ids
    assert (ids.event, ids.user, ids.item) == ("impression_id", "user_id", "item_id")
    assert (ids.time.column, ids.time.unit) == ("ts", "ms")
    found = {n: (f.kind, f.group) for n, f in job.features.items()}
    assert found == {
        "user_id": ("categorical", "user"),
        "item_id": ("categorical", "item"),
        "brand": ("categorical", "item"),
        "price": ("numeric", "item"),
        "tier": ("categorical", "user"),  # every user has one value
        "tags": ("multi_valued", "item"),
        "vector": ("dense", "context"),
        "history": ("sequence", "behaviour"),
        "hour": ("time", "context"),
    }
    assert job.features["tags"].weights == "tag_weights"
    history = job.features["history"]
    assert history.fields["item"].shares == "item_id"
    assert history.fields["age_hours"].kind == "numeric"
    assert job.features["user_id"].type == "int64"
    assert job.features["vector"].length == 3


def test_comments_say_what_was_found_and_ask(planned) -> None:
    text = planned.job.read_text(encoding="utf-8")
    assert "Lost by a window of 10s: " in text
    assert "always: it is 'same' in every row" in text
    assert "nested: records inside records" in text
    assert "# QUESTION: history: are the behaviors logged oldest first" in text
    assert "Positives of click in a batch" in text
    page = planned.page.read_text(encoding="utf-8")
    assert page.count("<svg") >= 12 and "<script" not in page and "http" not in page
    for question in planned.text.questions:
        assert question.partition("'")[0].partition("&")[0] in page


def test_the_written_job_runs(planned) -> None:
    assert main(["run", str(planned.job), "--set", "preprocessing.buckets=2"]) == 0
    job = load_job(planned.job)
    manifest = json.loads((Path(job.data.examples) / "manifest.json").read_text())
    rows = {name: split["rows"] for name, split in manifest["splits"].items()}
    assert rows["train"] > 2_000 and min(rows.values()) > 100
    assert manifest["dead_letters"] == {}
    assert manifest["splits"]["train"]["positives"]["order"] > 50


def test_a_label_column_a_leak_and_a_log_without_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, clicks, _ = shop_logs(1_500)
    clicked = {record["impression_id"] for record in clicks}
    with (tmp_path / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "brand name", "clk", "no_clk", "paid_at"])
        for record in shown:
            click = int(record["impression_id"] in clicked)
            at = "2026-01-01 00:00:00" if click else ""
            writer.writerow([record["user_id"], record["brand"], click, 1 - click, at])
    out = tmp_path / "job.yaml"
    arguments = ["plan", str(tmp_path / "log.csv"), "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "QUESTION: no column is the time of the impression" in printed
    job = load_job(out)
    assert (job.ids.event, job.ids.time.column, job.ids.user) == (
        "$row",
        "$row",
        "user",
    )
    assert job.labels["click"].column == "clk"
    assert set(job.features) == {"user", "brand_name"}
    assert job.features["brand_name"].column == "brand name"
    text = out.read_text()
    assert "no_clk: it gives the label click away" in text
    assert "paid_at: it gives the label click away" in text
    assert (tmp_path / "job.html").exists()
    assert main(arguments) == 2  # the file exists
    assert "give --overwrite" in capsys.readouterr().err


def test_logs_without_any_label_say_so(tmp_path: Path) -> None:
    lines = "".join(f"{n},{n % 9},{n % 5}\n" for n in range(500))
    (tmp_path / "views.csv").write_text("id,user,item\n" + lines)
    with pytest.raises(DataError, match="has no label: expected a column of 0 and 1"):
        plan_job([str(tmp_path / "views.csv")], out=tmp_path / "job.yaml")


def test_for_clicks_alone_impressions_are_drawn(tmp_path: Path) -> None:
    shown, clicks, _ = shop_logs(3_000)
    row_of = {record["impression_id"]: record for record in shown}
    with (tmp_path / "clicks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "click_time", "tier"])
        for click in clicks:
            record = row_of[click["impression_id"]]
            writer.writerow(
                [record["user_id"], record["item_id"], click["ts"], record["tier"]]
            )
    planned = plan_job(
        [str(tmp_path / "clicks.csv")], out=tmp_path / "j.yaml", work=str(tmp_path)
    )
    job = load_job(planned.job)
    assert job.labels["click"].window == "0s"
    assert "drawn-logs" in job.data.impressions.path
    assert job.features["history"].fields["item_id"].shares == "item_id"
    text = " ".join(planned.text.questions)
    assert "convert clicks" in text and "--context tier" in text
