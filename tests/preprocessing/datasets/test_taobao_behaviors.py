"""Taobao's behaviours become one row of each user, or one and some drawn items."""

from collections import defaultdict

import pytest

from configs.errors import DataError
from preprocessing.datasets.conversion import SPLIT_WIDTH, LogSettings
from preprocessing.datasets.taobao_behaviors import (
    BehaviorRules,
    convert_taobao_behaviors,
)
from tests.preprocessing.datasets import public_files
from tests.preprocessing.datasets.test_criteo import rows_of

START = 1_511_539_200


def convert(tmp_path, rows=2_000, **rules):
    table = public_files.behaviors(tmp_path / "UserBehavior.csv", rows)
    summary = convert_taobao_behaviors(
        tmp_path / "UserBehavior.csv",
        tmp_path / "logs",
        LogSettings(),
        BehaviorRules(buckets=3, **rules),
    )
    return table.to_pylist(), summary, rows_of(tmp_path / "logs")


def users_by_the_rules(lines, least):
    """Each user's behaviours in order of time, as plain loops find them."""
    users, seen = defaultdict(list), set()
    for line in lines:
        key = tuple(line.values())
        if key not in seen and START <= line["time"] < START + 9 * 86_400:
            seen.add(key)
            users[line["user"]].append(line)
    return {
        user: sorted(done, key=lambda line: line["time"])
        for user, done in users.items()
        if len(done) >= least
    }


def test_rows_follow_the_published_rules(tmp_path):
    lines, summary, rows = convert(tmp_path, min_behaviors=22, history_length=15)
    users = users_by_the_rules(lines, 22)
    assert len(rows) == len(users) == summary["users"] == summary["rows"]
    assert 20 < len(users) < len({line["user"] for line in lines})
    assert summary["behaviors"] == sum(len(done) for done in users.values())
    dropped = summary["dropped"]
    assert dropped["there_twice"] > 10 and dropped["outside_the_nine_days"] > 0
    assert summary["behaviors"] == len(lines) - sum(
        dropped[reason]
        for reason in (
            "there_twice",
            "outside_the_nine_days",
            "of_users_with_few_behaviors",
        )
    )
    ends = sorted(done[-1]["time"] for done in users.values())
    split = ends[int(len(ends) * 0.7)]
    labels = []
    for row in rows:
        done = users[row["user_id"]]
        last, before = done[-1], done[:-1][-15:]
        assert row["timestamp_ms"] == last["time"] * 1_000
        test = row["position"] >= 2 * SPLIT_WIDTH
        assert test == (last["time"] > split)
        assert row["history_item"] == [line["item"] for line in before]
        assert row["history_category"] == [line["category"] for line in before]
        assert row["history_type"] == [line["type"] for line in before]
        hours = [(last["time"] - line["time"]) / 3_600 for line in before]
        assert row["history_hours"] == pytest.approx(hours, rel=1e-6)
        assert (row["item_id"] == last["item"]) == row["click"]
        assert row["category_id"] == row["item_id"] % 97 + 1000
        labels.append(row["click"])
    assert 0.2 < sum(labels) / len(labels) < 0.8


def test_drawn_items_beside_the_last_one(tmp_path):
    lines, summary, rows = convert(tmp_path, negatives=3, min_behaviors=2)
    users = users_by_the_rules(lines, 2)
    assert len(rows) == 4 * len(users) == summary["rows"]
    # Items outside the nine days are none.
    items = {line["item"] for line in lines if START <= line["time"] < START + 777_600}
    by_user = defaultdict(list)
    for row in rows:
        by_user[row["user_id"]].append(row)
        assert row["item_id"] in items
    for user, group in by_user.items():
        assert [row["click"] for row in group] == [1, 0, 0, 0]
        assert group[0]["item_id"] == users[user][-1]["item"]
        assert all(row["item_id"] != group[0]["item_id"] for row in group[1:])
        assert all(row["history_item"] == group[0]["history_item"] for row in group)
    drawn = [tuple(row["item_id"] for row in group[1:]) for group in by_user.values()]
    assert len({items for items in drawn if len(set(items)) > 1}) > len(drawn) / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,click,1511600000", "the type is 'click', expected pv, cart, fav, buy"),
        ("1,-2,3,pv,1511600000", "the item is -2, expected 0 to"),
        ("1,200000000,3,pv,1511600000", "the item is 200000000"),
        ("1,2,3,pv", "found 4 values, expected 5"),
        ("1,2,3,pv,now", ".*'now'"),
        ("user,item,category,type,time", ".*'user'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    path = tmp_path / "UserBehavior.csv"
    public_files.behaviors(path, 300)
    lines = path.read_text().split("\n")
    lines[99] = text
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"UserBehavior\.csv, line 100: {message}"):
        convert_taobao_behaviors(
            path, tmp_path / "logs", LogSettings(), BehaviorRules(buckets=2)
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["UserBehavior.csv"]


def test_a_log_without_such_users_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no user with 900 behaviours"):
        convert(tmp_path, min_behaviors=900)
    with pytest.raises(DataError, match="min_behaviors is 1, expected 2"):
        BehaviorRules(min_behaviors=1)
    with pytest.raises(DataError, match="test share is 0"):
        BehaviorRules(test_share=0)
