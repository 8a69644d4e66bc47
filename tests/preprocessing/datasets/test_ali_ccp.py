"""Ali-CCP's two files of a split become rows with one column for each field."""

import csv
import re

import numpy as np
import pyarrow as pa
import pytest

from configs.errors import DataError
from preprocessing.datasets.ali_ccp import FIELDS, convert_ali_ccp
from preprocessing.datasets.ali_ccp_features import (
    FeatureListError,
    parse_feature_lists,
)
from preprocessing.datasets.conversion import SPLIT_WIDTH, LogSettings
from tests.preprocessing.datasets import public_files
from tests.preprocessing.datasets.test_criteo import rows_of

FOUR = ("101", "205", "109_14", "much_too_long_a_field")


def text_of(features) -> str:
    return "\x01".join(f"{f}\x02{i}\x03{v}" for f, i, v in features)


def as_the_paper_parses(text, fields):
    tokens = re.split("[\x01\x02\x03]", text)
    found = dict(zip(tokens[0::3], tokens[1::3], strict=False))
    return [int(found.get(field, -1)) for field in fields]


def test_lists_are_parsed_as_by_splitting_text():
    rng = np.random.default_rng(0)
    names = ["101", "205", "109_14", "1", "10", "1010", "much_too_long_a_field"]
    lists, counts = [], []
    for _ in range(300):
        features = [
            (names[rng.integers(len(names))], rng.integers(0, 10**9), 1.5)
            for _ in range(rng.integers(0, 6))
        ]
        lists.append(text_of(features))
        counts.append(len(features))
    array = pa.array(["before", *lists, "after"])[1:-1]  # a slice
    parsed = parse_feature_lists(array, np.array(counts), FOUR[:3])
    expected = [as_the_paper_parses(text, FOUR[:3]) for text in lists]
    assert parsed.tolist() == expected
    none = parse_feature_lists(
        pa.array([], pa.string()), np.zeros(0, np.int64), FOUR[:3]
    )
    assert none.shape == (0, 3)


GOOD = text_of([("101", 7, 1.0), ("205", 8, 1.0)])


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        (GOOD, 3, "5 separators, expected 8 for 3 features"),
        (GOOD, -1, "for -1 features"),
        (GOOD.replace("\x01", "\x02"), 2, "not .* in turn"),
        (GOOD[:-8], 2, "separators, expected 5"),
        (GOOD.replace("8", "8x"), 2, "feature id is b'8x'"),
        (GOOD.replace("8", ""), 2, "feature id is b''"),
        (GOOD.replace("8", "1234567890"), 2, "feature id is b'1234567890'"),
    ],
)
def test_a_list_of_another_layout_is_refused(text, count, message):
    lists = pa.array([GOOD, GOOD, text, GOOD])
    with pytest.raises(FeatureListError, match=message) as caught:
        parse_feature_lists(lists, np.array([2, 2, count, 2]), FOUR)
    assert caught.value.row == 2


def test_rows_have_their_own_and_the_common_features(tmp_path):
    truth = public_files.ali_ccp(tmp_path / "source", 300, ".gz")
    summary = convert_ali_ccp(tmp_path / "source", tmp_path / "logs", LogSettings())
    rows = rows_of(tmp_path / "logs")
    assert [row["row"] for row in rows] == list(range(len(rows)))
    kept = 0
    for number, split in enumerate(("train", "test")):
        values = truth[split]
        possible = values["click"] | ~values["conversion"]
        found = [r for r in rows if (r["position"] >= 2 * SPLIT_WIDTH) == number]
        assert sorted(r["sample_id"] for r in found) == [
            k + 1 for k in np.flatnonzero(possible)
        ]
        for row in found:
            k = row["sample_id"] - 1
            assert row["click"] == values["click"][k]
            assert row["conversion"] == values["conversion"][k]
            for field in FIELDS:
                expected = values[field][k] if field in values else None
                if field == "853":  # a common one, of all
                    expected = 4
                assert row[f"field_{field}"] == expected
        kept += len(found)
    assert summary["rows"] == kept == len(rows)
    assert summary["train"]["rows"] + summary["validation"]["rows"] == len(
        [r for r in rows if r["position"] < 2 * SPLIT_WIDTH]
    )
    assert 5 <= summary["validation"]["rows"] <= 70


def test_no_validation_rows_where_none_are_asked_for(tmp_path):
    public_files.ali_ccp(tmp_path / "source", 100)
    out = tmp_path / "logs"
    summary = convert_ali_ccp(
        tmp_path / "source", out, LogSettings(), validation_share=0
    )
    assert "validation" not in summary
    with pytest.raises(DataError, match="validation share is 1"):
        convert_ali_ccp(
            tmp_path / "source", tmp_path / "x", LogSettings(), validation_share=1
        )


def change(path, line, old, new):
    lines = path.read_text().split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("sample_skeleton_train", "key", "lock", "has no common features 'lock"),
        ("sample_skeleton_test", "\x01", "\x02", "in turn"),
        ("sample_skeleton_train", ",7,", ",6,", "expected 17 for 6 features"),
        ("sample_skeleton_train", ",7,", ",", "found 5 values, expected 6"),
        ("sample_skeleton_test", ",7,", ",7,1,", "found 7 values"),
        ("common_features_test", "\x02", "", "separators"),
        ("common_features_train", ",12,", ",twelve,", "'twelve'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, name, old, new, message):
    public_files.ali_ccp(tmp_path / "source", 200)
    line = 3 if name.startswith("common") else 30
    change(tmp_path / "source" / f"{name}.csv", line, old, new)
    with pytest.raises(DataError, match=rf"{name}\.csv, line {line}: .*{message}"):
        convert_ali_ccp(tmp_path / "source", tmp_path / "logs", LogSettings())
    assert not (tmp_path / "logs").exists()


def test_the_public_sample(tmp_path, public_data):
    """The sample's fields, written in the layout of the two files, come back."""
    folder = public_data("toy_format_samples")
    with (folder / "ali_ccp_train_sample.csv").open() as file:
        sample = list(csv.DictReader(file))
    users = [f for f in FIELDS if "101" <= f <= "129"]
    (tmp_path / "source").mkdir()
    for split in ("train", "test"):
        skeleton, common = [], []
        for k, row in enumerate(sample, 1):
            both = [(f, row[f], 1.0) for f in FIELDS if row[f] != "0"]
            shared = [feature for feature in both if feature[0] in users]
            own = [feature for feature in both if feature[0] not in users]
            common.append(f"u{k},{len(shared)},{text_of(shared)}")
            skeleton.append(
                f"{k},{row['click']},{row['purchase']},u{k},{len(own)},{text_of(own)}"
            )
        for name, lines in (("common_features", common), ("sample_skeleton", skeleton)):
            path = tmp_path / "source" / f"{name}_{split}.csv"
            path.write_text("\n".join(lines) + "\n")
    summary = convert_ali_ccp(tmp_path / "source", tmp_path / "logs", LogSettings())
    rows = rows_of(tmp_path / "logs")
    assert summary["rows"] == len(rows) == 2 * len(sample)
    for row in rows:
        expected = sample[row["sample_id"] - 1]
        assert row["click"] == int(expected["click"])
        for field in FIELDS:
            assert (row[f"field_{field}"] or 0) == int(expected[field])
