"""Taobao's display ads are joined with their tables and histories."""

import csv
import gzip
import json

import pytest

from configs.errors import DataError
from preprocessing.datasets.conversion import SPLIT_WIDTH, LogSettings
from preprocessing.datasets.taobao_ad_layouts import AD_COLUMNS, PROFILE_COLUMNS
from preprocessing.datasets.taobao_ads import TEST_FROM, AdRules, convert_taobao_ads
from tests.preprocessing.datasets import public_files
from tests.preprocessing.datasets.test_criteo import rows_of

RULES = AdRules(history_length=4, buckets=3)
FROM = 1_492_790_400  # 2017-04-22 in China


def convert(tmp_path, rules=RULES, rows=500, **options):
    truth = public_files.taobao_ads(tmp_path / "source", rows, **options)
    summary = convert_taobao_ads(
        tmp_path / "source", tmp_path / "logs", LogSettings(), rules
    )
    return truth, summary, rows_of(tmp_path / "logs")


def lines_of(columns):
    names = [name.strip() for name in columns]
    lists = [getattr(c, "tolist", lambda c=c: list(c))() for c in columns.values()]
    lists = [c.to_pylist() if hasattr(c, "to_pylist") else c for c in lists]
    return [dict(zip(names, line, strict=True)) for line in zip(*lists, strict=True)]


def value(text):
    return None if text in ("", "NULL") else float(text)


def check_joined(truth, rows):
    """Every row has the values of its line, its ad and its user."""
    ads = {line["adgroup_id"]: line for line in lines_of(truth["ad"])}
    users = {line["userid"]: line for line in lines_of(truth["profile"])}
    expected = [s for s in lines_of(truth["sample"]) if s["user"] in users]
    key = ("user", "time_stamp", "adgroup_id")
    by_key = {tuple(line[name] for name in key): line for line in expected}
    assert len(by_key) == len(expected) == len(rows)
    for row in rows:
        time = row["timestamp_ms"] // 1_000
        line = by_key[row["user_id"], time, row["adgroup_id"]]
        assert row["click"] == line["clk"]
        assert row["pid"] == line["pid"]
        assert (row["position"] >= 2 * SPLIT_WIDTH) == (time >= TEST_FROM)
        for name in AD_COLUMNS:
            assert row[name] == value(ads[row["adgroup_id"]][name])
        for name in PROFILE_COLUMNS:
            assert row[name] == value(users[row["user_id"]][name])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_without_a_behavior_log(tmp_path, suffix):
    truth, summary, rows = convert(tmp_path, suffix=suffix)
    check_joined(truth, rows)
    assert summary["histories"] is False
    assert summary["dropped"]["without_profile"] == 500 - len(rows) > 0
    assert summary["rows"] == len(rows)
    assert summary["test"]["rows"] > 30
    assert "history_category" not in rows[0]


def test_histories_are_what_was_done_before(tmp_path):
    rules = AdRules(history_length=8, buckets=3)
    truth, summary, rows = convert(tmp_path, rules, logged=1)
    check_joined(truth, rows)
    behaviors = lines_of(truth["behaviors"])
    inside = [b for b in behaviors if FROM <= b["time_stamp"] < FROM + 22 * 86_400]
    dropped = summary["dropped"]["behaviors_outside_the_22_days"]
    assert dropped == len(behaviors) - len(inside)
    lengths = []
    for row in rows:
        time = row["timestamp_ms"] // 1_000
        before = [
            b for b in inside if b["user"] == row["user_id"] and b["time_stamp"] < time
        ]
        before = sorted(before, key=lambda b: b["time_stamp"])[-8:]
        assert row["history_category"] == [b["cate"] for b in before]
        assert row["history_brand"] == [b["brand"] for b in before]
        assert row["history_type"] == [b["btag"] for b in before]
        hours = [(time - b["time_stamp"]) / 3_600 for b in before]
        assert row["history_hours"] == pytest.approx(hours, abs=1e-3)
        lengths.append(len(before))
    assert max(lengths) == 8 and min(lengths) < 8


def test_users_without_a_profile_can_be_kept(tmp_path):
    rules = AdRules(keep_incomplete=True)
    truth, _, rows = convert(tmp_path, rules)
    assert len(rows) == 500
    known = set(truth["profile"]["userid"].tolist())
    strangers = [row for row in rows if row["user_id"] not in known]
    assert strangers
    assert all(row["age_level"] is None for row in strangers)


def change(path, line, text):
    lines = path.read_text().split("\n")
    lines[line - 1] = text
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("raw_sample", "1,1494137644,1,430548_1007,1,1", "clk and nonclk are both 1"),
        ("raw_sample", "1,1494137644,1,430548_1007,0,2", "the label clk is 2"),
        ("raw_sample", "1,1494137644000,1,430548_1007,0,1", "the time_stamp is 149413"),
        ("raw_sample", "1,1494137644,1", "found 3 values, expected 6"),
        ("ad_feature", "1,2,3,4,NULL", "found 5 values"),
        ("ad_feature", "5,2,NULL,4,5,6", "the campaign_id is missing"),
        ("user_profile", "NULL,0,0,0,0,0,0,0,0", "the userid is missing"),
        ("behavior_log", "1,1493000000,look,3,4", "the btag is 'look'"),
        ("behavior_log", "1,1493000000,pv,,4", "the cate is missing"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, name, text, message):
    public_files.taobao_ads(tmp_path / "source", 300, logged=1)
    change(tmp_path / "source" / f"{name}.csv", 6, text)
    with pytest.raises(DataError, match=rf"{name}\.csv, line 6: {message}"):
        convert_taobao_ads(tmp_path / "source", tmp_path / "logs", LogSettings(), RULES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


def test_an_advertisement_twice_is_named(tmp_path):
    public_files.taobao_ads(tmp_path / "source", 300)
    path = tmp_path / "source" / "ad_feature.csv"
    first = path.read_text().split("\n")[1]
    change(path, 8, first)
    with pytest.raises(
        DataError, match=r"ad_feature\.csv, line 8: the adgroup_id 10 is"
    ):
        convert_taobao_ads(tmp_path / "source", tmp_path / "logs", LogSettings(), RULES)


def test_the_public_sample(tmp_path, public_data):
    """The joined sample, taken apart into its three tables, is joined again."""
    path = public_data("taobao_ad_10k") / "taobao_data_sample_1w.csv.gz"
    with gzip.open(path, "rt") as file:
        sample = list(csv.DictReader(file))
    tables = {
        "raw_sample": [
            {
                "user": line["user_id"],
                **{n: line[n] for n in ("time_stamp", "adgroup_id", "pid")},
                **{n: line[n] for n in ("nonclk", "clk")},
            }
            for line in sample
        ],
        "ad_feature": [{n: line[n] for n in AD_COLUMNS} for line in sample],
        "user_profile": [
            {"userid": line["user_id"], **{n: line[n] for n in PROFILE_COLUMNS}}
            for line in sample
            if line["cms_segid"]
        ],
    }
    (tmp_path / "source").mkdir()
    for name, lines in tables.items():
        unique = lines
        if name != "raw_sample":
            key = next(iter(lines[0]))
            unique = list({line[key]: line for line in lines}.values())
        with (tmp_path / "source" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(unique[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(unique)
    summary = convert_taobao_ads(
        tmp_path / "source", tmp_path / "logs", LogSettings(), RULES
    )
    rows = rows_of(tmp_path / "logs")
    profiles = {line["userid"] for line in tables["user_profile"]}
    expected = [line for line in sample if line["user_id"] in profiles]
    assert summary["rows"] == len(rows) == len(expected) > 9_000
    assert {r["timestamp_ms"] >= TEST_FROM * 1_000 for r in rows} == {True, False}
    parts = {True: [], False: []}  # the log has the training rows of a block first
    for line in expected:
        parts[int(line["time_stamp"]) >= TEST_FROM].append(line)
    for row, line in zip(rows, parts[False] + parts[True], strict=True):
        assert row["user_id"] == int(line["user_id"])
        assert row["click"] == int(line["clk"])
        assert row["brand"] == value(line["brand"])
        assert row["price"] == value(line["price"])
        assert row["pvalue_level"] == value(line["pvalue_level"])


def test_json_lines_hold_the_same(tmp_path):
    rules = AdRules(history_length=8, buckets=3)
    _, _, rows = convert(tmp_path, rules, logged=1)
    settings = LogSettings(log_format="jsonl.gz", rows_per_file=100)
    convert_taobao_ads(tmp_path / "source", tmp_path / "lines", settings, rules)
    files = sorted((tmp_path / "lines").glob("impressions-*.jsonl.gz"))
    assert len(files) > 1
    lines = [line for path in files for line in gzip.open(path, "rt")]
    for line, row in zip(lines, rows, strict=True):
        found = json.loads(line)
        hours = found.pop("history_hours")
        assert hours == pytest.approx(row.pop("history_hours"), rel=1e-5)
        assert found == row
