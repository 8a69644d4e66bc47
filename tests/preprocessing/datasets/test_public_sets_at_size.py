"""100,000 rows and more of each public data set: counts, label rates and splits are as
the published rules demand. Expectations are taken from the generated columns, not from
the files."""

import gzip
import re
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from configs.errors import DataError
from preprocessing.datasets.ali_ccp import convert_ali_ccp
from preprocessing.datasets.aliexpress import convert_aliexpress
from preprocessing.datasets.avazu import convert_avazu
from preprocessing.datasets.conversion import SPLIT_WIDTH, SPLITS, LogSettings
from preprocessing.datasets.criteo_x1 import convert_criteo_x1
from preprocessing.datasets.movielens import MovieLensRules, convert_movielens
from preprocessing.datasets.taobao_ads import TEST_FROM, AdRules, convert_taobao_ads
from preprocessing.datasets.taobao_behaviors import (
    BehaviorRules,
    convert_taobao_behaviors,
)
from tests.preprocessing.datasets import public_files

ROWS = 100_000

pytestmark = pytest.mark.slow


def read(folder, *columns):
    """Columns of the log as arrays, and the split of each row."""
    files = sorted(folder.glob("impressions-*.parquet"))
    names = ["row", "position", *columns]
    table = pa.concat_tables([pq.read_table(file, columns=names) for file in files])
    found = {name: table[name].to_numpy() for name in names}
    assert (found.pop("row") == np.arange(table.num_rows)).all()
    position = found.pop("position")
    split = np.array(SPLITS)[position // SPLIT_WIDTH]
    for name in np.unique(split):  # each split is numbered from 0, without a gap
        inside = position[split == name] % SPLIT_WIDTH
        assert (inside == np.arange(len(inside))).all()
    return found, split


def check_summary(summary, split, labels):
    assert summary["rows"] == len(split)
    for name in np.unique(split):
        rows = split == name
        assert summary[name]["rows"] == rows.sum()
        for label, values in labels.items():
            assert summary[name][f"{label}_positives"] == values[rows].sum()
            assert summary[name][f"{label}_rate"] == values[rows].mean()


def lengths(folder, column):
    files = sorted(folder.glob("impressions-*.parquet"))
    lists = [pq.read_table(file, columns=[column])[column] for file in files]
    return np.concatenate([pc.list_value_length(part).to_numpy() for part in lists])


@pytest.mark.parametrize(
    ("name", "convert", "label"),
    [
        ("criteo_x1", convert_criteo_x1, "label"),
        ("avazu", convert_avazu, "click"),
    ],
)
def test_published_splits_stay_as_they_are(tmp_path, name, convert, label):
    parts = getattr(public_files, name)(tmp_path / "source", ROWS)
    summary = convert(tmp_path / "source", tmp_path / "logs", LogSettings())
    found, split = read(tmp_path / "logs", label, "C17" if label == "click" else "C5")
    check_summary(summary, split, {label: found[label]})
    assert summary["rows"] == ROWS
    for part, table in parts.items():
        inside = split == part
        assert (found[label][inside] == table[label].to_numpy()).all()
        column = "C17" if label == "click" else "C5"
        expected = table[column].cast(pa.string()).to_numpy(zero_copy_only=False)
        assert (found[column][inside] == expected).all()


def test_aliexpress(tmp_path):
    parts = public_files.aliexpress(tmp_path / "source", ROWS)
    summary = convert_aliexpress(
        tmp_path / "source", tmp_path / "logs", LogSettings(), validation_share=0.05
    )
    labels = ("click", "conversion")
    found, split = read(tmp_path / "logs", *labels, "search_id", "numerical_63")
    check_summary(summary, split, {label: found[label] for label in labels})
    test = split == "test"
    assert test.sum() == parts["test"].num_rows
    assert (
        found["numerical_63"][test]
        == parts["test"]["numerical_63"].to_numpy().astype("f4")
    ).all()
    for label in labels:
        assert found[label][~test].sum() == pc.sum(parts["train"][label]).as_py()
    searches = np.unique(found["search_id"][~test])
    aside = np.unique(found["search_id"][split == "validation"])
    kept = np.unique(found["search_id"][split == "train"])
    assert len(aside) + len(kept) == len(searches)
    spread = (len(searches) * 0.05 * 0.95) ** 0.5
    assert abs(len(aside) - 0.05 * len(searches)) < 5 * spread


def test_ali_ccp(tmp_path):
    truth = public_files.ali_ccp(tmp_path / "source", ROWS // 2)
    summary = convert_ali_ccp(tmp_path / "source", tmp_path / "logs", LogSettings())
    labels = ("click", "conversion")
    fields = ("101", "129", "205", "301")
    found, split = read(
        tmp_path / "logs", *labels, "sample_id", *(f"field_{f}" for f in fields)
    )
    check_summary(summary, split, {label: found[label] for label in labels})
    bought_only = [t["conversion"] & ~t["click"] for t in truth.values()]
    dropped = sum(mask.sum() for mask in bought_only)
    assert summary["dropped"] == {"conversion_without_click": dropped}
    assert summary["rows"] == ROWS - dropped
    for name, mask in zip(truth, bought_only, strict=True):
        inside = (split == "test") == (name == "test")
        number = found["sample_id"][inside] - 1
        assert sorted(number) == np.flatnonzero(~mask).tolist()
        for label in labels:
            assert (found[label][inside] == truth[name][label][number]).all()
        for field in fields:
            expected = truth[name][field][number]
            assert (found[f"field_{field}"][inside] == expected).all()
    rows = (split != "test").sum()
    aside = (split == "validation").sum()
    assert abs(aside - rows / 10) < 5 * (rows * 0.09) ** 0.5


def test_taobao_behaviors(tmp_path):
    path = tmp_path / "UserBehavior.csv"
    table = public_files.behaviors(path, ROWS)
    rules = BehaviorRules(min_behaviors=20, history_length=30)
    summary = convert_taobao_behaviors(path, tmp_path / "logs", LogSettings(), rules)
    found, split = read(tmp_path / "logs", "click", "user_id", "timestamp_ms")
    check_summary(summary, split, {"click": found["click"]})
    lines = table.filter(pc.greater_equal(table["time"], 1_511_539_200))
    lines = lines.filter(pc.less(lines["time"], 1_511_539_200 + 9 * 86_400))
    outside = table.num_rows - lines.num_rows
    unique = lines.group_by(lines.column_names).aggregate([])
    users = unique.group_by("user").aggregate([("time", "max"), ("time", "count")])
    many = pc.greater_equal(users["time_count"], 20)
    stay = users.filter(many)
    assert summary["dropped"] == {
        "outside_the_nine_days": outside,
        "there_twice": lines.num_rows - unique.num_rows,
        "of_users_with_few_behaviors": unique.num_rows
        - pc.sum(stay["time_count"]).as_py(),
        "users_with_few_behaviors": users.num_rows - stay.num_rows,
    }
    assert summary["users"] == summary["rows"] == stay.num_rows > 2_000
    order = np.argsort(stay["user"].to_numpy())
    mine = np.argsort(found["user_id"])
    assert (found["user_id"][mine] == stay["user"].to_numpy()[order]).all()
    last = stay["time_max"].to_numpy()[order]
    assert (found["timestamp_ms"][mine] == last * 1_000).all()
    history = np.minimum(stay["time_count"].to_numpy()[order] - 1, 30)
    assert (lengths(tmp_path / "logs", "history_item")[mine] == history).all()
    # The latest 30% are for test: less those that tie with the last training row.
    late = np.sort(last)[int(len(last) * 0.7)]
    assert ((last > late) == (split[mine] == "test")).all()
    assert (split == "test").mean() == pytest.approx(0.3, abs=0.01)
    spread = 0.5 / len(split) ** 0.5
    assert found["click"].mean() == pytest.approx(0.5, abs=5 * spread)


def test_taobao_ads(tmp_path):
    truth = public_files.taobao_ads(tmp_path / "source", ROWS, logged=3)
    summary = convert_taobao_ads(
        tmp_path / "source", tmp_path / "logs", LogSettings(), AdRules(buckets=8)
    )
    found, split = read(
        tmp_path / "logs", "click", "user_id", "timestamp_ms", "cate_id"
    )
    check_summary(summary, split, {"click": found["click"]})
    sample, done = truth["sample"], truth["behaviors"]
    known = np.isin(sample["user"], truth["profile"]["userid"])
    assert summary["dropped"]["without_profile"] == (~known).sum() > 1_000
    assert summary["rows"] == known.sum()
    test = sample["time_stamp"] >= TEST_FROM
    for name, mask in (("train", known & ~test), ("test", known & test)):
        assert summary[name]["rows"] == mask.sum()
        assert summary[name]["click_positives"] == sample["clk"][mask].sum()
    assert ((split == "test") == (found["timestamp_ms"] >= TEST_FROM * 1_000)).all()
    # Behaviours strictly before a row, counted by places in one sorted array.
    first = 1_492_790_400
    inside = (done["time_stamp"] >= first) & (done["time_stamp"] < first + 22 * 86_400)
    keys = np.sort(done["user"][inside] * 10**10 + done["time_stamp"][inside])
    user, time = found["user_id"], found["timestamp_ms"] // 1_000
    before = np.searchsorted(keys, user * 10**10 + time)
    count = before - np.searchsorted(keys, user * 10**10)
    history = lengths(tmp_path / "logs", "history_category")
    assert (history == np.minimum(count, 50)).all()
    assert history.max() == 50 or history.max() == count.max()


def test_movielens(tmp_path):
    table = public_files.movielens(tmp_path / "source", ROWS)
    summary = convert_movielens(
        tmp_path / "source", tmp_path / "logs", LogSettings(), MovieLensRules(buckets=8)
    )
    found, split = read(tmp_path / "logs", "liked", "user_id", "timestamp_ms")
    check_summary(summary, split, {"liked": found["liked"]})
    assert summary["rows"] == ROWS
    stars = table["rating"].to_numpy()
    assert found["liked"].sum() == (stars >= 4).sum()
    users = np.unique(table["userId"].to_numpy())
    train = np.unique(found["user_id"][split == "train"])
    test = np.unique(found["user_id"][split == "test"])
    assert len(train) == round(len(users) * 100_000 / 138_493)
    assert (np.sort(np.r_[train, test]) == users).all()
    keys = np.sort(table["userId"].to_numpy() * 10**10 + table["timestamp"].to_numpy())
    user, time = found["user_id"], found["timestamp_ms"] // 1_000
    before = np.searchsorted(keys, user * 10**10 + time)
    count = before - np.searchsorted(keys, user * 10**10)
    history = lengths(tmp_path / "logs", "history_movie")
    assert (history == np.minimum(count, 50)).all()


def test_large_files_that_were_cut_off(tmp_path):
    public_files.avazu(tmp_path / "source", ROWS)
    path = tmp_path / "source" / "train.csv"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    last = data[: len(data) // 2].count(b"\n") + 1
    with pytest.raises(DataError, match=rf"train\.csv, line {last}: found"):
        convert_avazu(tmp_path / "source", tmp_path / "logs", LogSettings())
    packed = gzip.compress(data, compresslevel=1)
    packed = packed[: len(packed) // 2]
    readable = zlib.decompressobj(31).decompress(packed).count(b"\n")
    path.unlink()
    (tmp_path / "source" / "train.csv.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"train\.csv\.gz, line \d+: .*runc") as caught:
        convert_avazu(tmp_path / "source", tmp_path / "logs", LogSettings())
    line = int(re.search(r"line (\d+)", str(caught.value))[1])
    assert readable - 700 < line <= readable + 1  # a block of 64 KiB less, at most
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]
