"""Logs beside impressions and labels: tables of users and items, and behaviors."""

import csv
import random
from pathlib import Path

import pytest

from configs.loading import load_job
from configs.manifest import read_manifest
from preprocessing.cli import main
from preprocessing.planning.command import plan_job
from tests.preprocessing.making_jobs import write_lines
from tests.preprocessing.planning.writing_logs import DAY_MS, START, shop_logs

PLAIN = ("impression_id", "ts", "user_id", "item_id", "brand", "tier")


def write_all(folder: Path) -> Path:
    """Impressions without histories, clicks, users, items that change, and a stray."""
    shown, clicks, _ = shop_logs(1_500)
    chance = random.Random(4)  # noqa: S311 (a test's)
    folder.mkdir()
    plain = [{name: record[name] for name in PLAIN} for record in shown]
    write_lines(folder / "impressions.jsonl", plain)
    write_lines(folder / "clicks.jsonl", clicks)
    with (folder / "users.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "age", "city", "tier"])
        for user in range(190):
            writer.writerow([user, 18 + user % 60, f"city {user % 11}", user % 3])
    items = [
        {
            "item_id": f"item{item}",
            "color": chance.choice(["red", "blue"]),
            "updated_ms": START + day * DAY_MS,
        }
        for item in range(50)
        for day in range(4)
    ]
    write_lines(folder / "catalog.jsonl", items)
    write_lines(folder / "weather.jsonl", [{"town": "x", "rain": 3}] * 30)
    return folder


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("beside")
    logs = write_all(root / "logs")
    out, page = root / "shop.yaml", root / "shop.html"
    return plan_job([str(logs)], out=out, page=page, work=str(root / "w"))


def test_tables_are_joined_by_user_and_item(planned) -> None:
    job = load_job(planned.job)
    assert job.warnings() == []
    users, catalog = job.data.tables["users"], job.data.tables["catalog"]
    assert (users.key, users.matches, users.time) == ("user_id", None, None)
    assert (catalog.key, catalog.time.column) == ("item_id", "updated_ms")
    found = {
        name: (feature.table, feature.group, feature.column)
        for name, feature in job.features.items()
        if getattr(feature, "table", None)
    }
    assert found == {
        "age": ("users", "user", None),
        "city": ("users", "user", None),
        "tier_2": ("users", "user", "tier"),
        "color": ("catalog", "item", None),
    }
    questions = " ".join(planned.text.questions)
    assert "the log 'weather' is not used" in questions


def test_histories_are_built_of_clicks(planned) -> None:
    history = load_job(planned.job).features["history"]
    assert (history.source, history.max_length) == ("click", 20)
    assert [field.shares for field in history.fields.values()] == [
        "item_id",
        "brand",
        None,
    ]
    assert history.fields["age_hours"].kind == "numeric"


def test_the_written_job_runs(planned) -> None:
    assert main(["run", str(planned.job), "--set", "preprocessing.buckets=2"]) == 0
    manifest = read_manifest(load_job(planned.job).data.examples)
    assert manifest.splits["train"].rows > 1_000


def test_behaviors_of_another_log_make_histories(tmp_path: Path) -> None:
    shown, clicks, _ = shop_logs(1_500)
    views = [
        {
            "view_id": number,
            "who": record["user_id"],
            "item_id": record["item_id"],
            "at": record["ts"] // 1_000 - 60,
        }
        for number, record in enumerate(shown)
    ]
    plain = [{name: record[name] for name in PLAIN} for record in shown]
    write_lines(tmp_path / "impressions.jsonl", plain)
    write_lines(tmp_path / "clicks.jsonl", clicks)
    write_lines(tmp_path / "viewed.jsonl", views)
    planned = plan_job([str(tmp_path)], out=tmp_path / "job.yaml")
    job = load_job(planned.job)
    viewed = job.data.behaviours["viewed"]
    assert (viewed.user, viewed.event) == ("who", "view_id")
    assert (viewed.time.column, viewed.time.unit) == ("at", "s")
    history = job.features["history"]
    assert history.source == "viewed"
    assert history.fields["item_id"].shares == "item_id"


def test_the_layout_of_the_taobao_ads(tmp_path: Path) -> None:
    """Impressions with a label of their own, two tables, and behaviors without ads."""
    chance = random.Random(6)  # noqa: S311 (a test's)
    time = 1_494_000_000
    rows: dict[str, list[list[object]]] = {
        "raw_sample": [["user", "time_stamp", "adgroup_id", "pid", "nonclk", "clk"]],
        "ad_feature": [["adgroup_id", "cate_id", "customer", "brand", "price"]],
        "user_profile": [["userid", "cms_segid", "age_level", "occupation"]],
        "behavior_log": [["user", "time_stamp", "btag", "cate", "brand"]],
    }
    for number in range(2_000):
        user, ad, click = chance.randrange(300), chance.randrange(200), number % 9 == 0
        seen = time + number * 300
        rows["raw_sample"].append(
            [user, seen, ad, "430548_1007", int(not click), int(click)]
        )
        rows["behavior_log"].append([user, seen - 60, "pv", ad % 30, ad % 40])
    for ad in range(200):
        rows["ad_feature"].append([ad, ad % 30, ad % 60, ad % 40, ad + 0.5])
    for user in range(300):
        rows["user_profile"].append([user, user % 90, user % 7, user % 2])
    for name, lines in rows.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
    work = str(tmp_path / "work")
    planned = plan_job([str(tmp_path)], out=tmp_path / "job.yaml", work=work)
    job = load_job(planned.job)
    assert job.data.impressions.path.endswith("raw_sample.csv")
    assert job.labels["click"].column == "clk"
    assert (job.ids.user, job.ids.item, job.ids.time.unit) == (
        "user",
        "adgroup_id",
        "s",
    )
    profile = job.data.tables["user_profile"]
    assert (profile.key, profile.matches) == ("userid", "user")
    assert job.data.tables["ad_feature"].key == "adgroup_id"
    tables = {n: getattr(f, "table", None) for n, f in job.features.items()}
    assert tables["price"] == tables["customer"] == "ad_feature"
    assert tables["cms_segid"] == "user_profile"
    assert job.data.behaviours["behavior_log"].user == "user"
    history = job.features["history"]
    assert history.source == "behavior_log"
    assert {n: (f.column, f.shares) for n, f in history.fields.items()} == {
        "cate_id": ("cate", "cate_id"),
        "brand": ("brand", "brand"),
        "age_hours": (None, None),
    }
    assert main(["run", str(planned.job), "--set", "preprocessing.buckets=2"]) == 0


def test_a_test_set_is_neither_a_table_nor_behaviors(tmp_path: Path) -> None:
    shown, clicks, _ = shop_logs(1_500)
    clicked = {record["impression_id"] for record in clicks}
    rows = [
        {name: record[name] for name in PLAIN}
        | {"click": int(record["impression_id"] in clicked)}
        for record in shown
    ]
    write_lines(tmp_path / "train.jsonl", rows[:1_000])
    write_lines(tmp_path / "test.jsonl", rows[1_000:])
    planned = plan_job([str(tmp_path)], out=tmp_path / "job.yaml")
    job = load_job(planned.job)
    assert job.data.impressions.path.endswith("train.jsonl")
    assert not job.data.tables and not job.data.behaviours
    assert "test have the columns of the impressions" in str(planned.text.questions)
