"""MovieLens's ratings become rows by the rules of DIN."""

import numpy as np
import pytest

from configs.errors import DataError
from preprocessing.datasets.conversion import SPLIT_WIDTH, LogSettings
from preprocessing.datasets.movielens import MovieLensRules, convert_movielens
from tests.preprocessing.datasets import public_files
from tests.preprocessing.datasets.test_criteo import rows_of

RULES = MovieLensRules(history_length=5, buckets=3)


def genres_of(movie):
    k = movie // 3
    if not k % 7:
        return ["(no genres listed)"]
    return [
        ["Adventure", "Children", "Fantasy"],
        ["Drama"],
        ["Comedy", "Romance"],
    ][k % 3]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_histories_are_what_was_rated_before(tmp_path, suffix):
    table = public_files.movielens(tmp_path / "source", 400, suffix)
    summary = convert_movielens(
        tmp_path / "source", tmp_path / "logs", LogSettings(), RULES
    )
    ratings = table.to_pylist()
    rows = rows_of(tmp_path / "logs")
    assert [row["row"] for row in rows] == list(range(400))
    found = {(r["user_id"], r["movie_id"], r["timestamp_ms"] // 1_000): r for r in rows}
    for rating in ratings:
        row = found[rating["userId"], rating["movieId"], rating["timestamp"]]
        before = [
            (other["timestamp"], other["movieId"], other["rating"])
            for other in ratings
            if other["userId"] == rating["userId"]
            and other["timestamp"] < rating["timestamp"]
        ]
        before = sorted(before)[-5:]
        assert row["liked"] == (rating["rating"] >= 4)
        assert row["genres"] == genres_of(rating["movieId"])
        assert row["genre"] == genres_of(rating["movieId"])[0]
        assert row["history_movie"] == [movie for _, movie, _ in before]
        assert row["history_genre"] == [genres_of(movie)[0] for _, movie, _ in before]
        assert row["history_stars"] == [stars for _, _, stars in before]
        hours = [(rating["timestamp"] - time) / 3_600 for time, _, _ in before]
        assert row["history_hours"] == pytest.approx(hours, rel=1e-6, abs=1e-3)
    assert summary["users"] == len({r["userId"] for r in ratings})


def test_users_are_drawn_whole(tmp_path):
    table = public_files.movielens(tmp_path / "source", 3_000)
    rules = MovieLensRules(train_share=0.7, buckets=4)
    summary = convert_movielens(
        tmp_path / "source", tmp_path / "logs", LogSettings(), rules
    )
    rows = rows_of(tmp_path / "logs")
    train = {r["user_id"] for r in rows if r["position"] < SPLIT_WIDTH}
    test = {r["user_id"] for r in rows if r["position"] >= 2 * SPLIT_WIDTH}
    users = set(table["userId"].to_pylist())
    assert train | test == users
    assert not train & test
    assert len(train) == summary["train_users"] == round(0.7 * len(users))
    assert summary["train"]["rows"] + summary["test"]["rows"] == 3_000
    again = convert_movielens(
        tmp_path / "source", tmp_path / "again", LogSettings(), rules
    )
    assert again == summary
    assert rows_of(tmp_path / "again") == rows


def test_the_published_share_is_that_of_the_paper():
    assert round(MovieLensRules().train_share * 138_493) == 100_000


@pytest.mark.parametrize(
    ("name", "line", "text", "message"),
    [
        (
            "ratings",
            9,
            "1,4,3.0,1112484727",
            "the movieId is 4, expected one of movies",
        ),
        ("ratings", 9, "1,3,3.3,1112484727", "the rating is 3.3, expected 0.5 to 5"),
        ("ratings", 9, "1,3,5.5,1112484727", "the rating is 5.5"),
        ("ratings", 9, "1,3,3.0,1112484727000", "the timestamp is 1112484727000"),
        ("ratings", 9, "1,3,3.0", "found 3 values, expected 4"),
        ("movies", 4, "9", "found 1 values, expected 3"),
        ("movies", 4, "3,Twice,Drama", "the movieId 3 is there a second time"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, name, line, text, message):
    public_files.movielens(tmp_path / "source", 100)
    path = tmp_path / "source" / f"{name}.csv"
    lines = path.read_text().split("\n")
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"{name}\.csv, line {line}: {message}"):
        convert_movielens(tmp_path / "source", tmp_path / "logs", LogSettings(), RULES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize("wrong", [{"train_share": 1.0}, {"history_length": 0}])
def test_wrong_rules_are_refused(wrong):
    with pytest.raises(DataError, match=r"expected"):
        MovieLensRules(**wrong)


def test_draws_differ_by_seed(tmp_path):
    public_files.movielens(tmp_path / "source", 3_000)
    positions = []
    for seed in (0, 1):
        out = tmp_path / str(seed)
        rules = MovieLensRules(seed=seed, buckets=1)
        convert_movielens(tmp_path / "source", out, LogSettings(), rules)
        rows = rows_of(out)
        order = np.argsort([r["timestamp_ms"] for r in rows], kind="stable")
        positions.append([rows[k]["position"] // SPLIT_WIDTH for k in order])
    assert positions[0] != positions[1]
