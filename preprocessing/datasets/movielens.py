"""Converts MovieLens-20M to what DIN was tried on: will a user like a movie?

Two files: ratings.csv (userId, movieId, rating, timestamp) and movies.csv (movieId,
title, genres). Each rating is a row, with the label `liked`: 4 stars or more. Its
history are the movies that the user rated before. 100,000 of the 138,493 users are
drawn for training; the rest is for test.

Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD
2018; Harper and Konstan, "The MovieLens Datasets", 2015.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import DataError
from preprocessing.datasets.conversion import Conversion, LogSettings, open_conversion
from preprocessing.datasets.delimited import Layout, file_in, line_error, read_batches
from preprocessing.datasets.histories import Histories
from preprocessing.datasets.history_lists import list_column
from preprocessing.datasets.keyed_table import KeyedTable
from preprocessing.datasets.user_buckets import UserBuckets, open_buckets

__all__ = ["PUBLISHED_TOTAL", "MovieLensRules", "convert_movielens"]

PUBLISHED_TOTAL = 20_000_263
"""Lines of ratings.csv, without the header."""

_RATINGS = Layout(
    of="MovieLens's ratings.csv",
    types={
        "userId": pa.int64(),
        "movieId": pa.int64(),
        "rating": pa.float64(),
        "timestamp": pa.int64(),
    },
)
_MOVIES = Layout(
    of="MovieLens's movies.csv",
    types={"movieId": pa.int64(), "title": pa.string(), "genres": pa.string()},
    quotes=True,
)
_RECORD = {"user": "i4", "movie": "i4", "half_stars": "i1", "time": "i8"}
_CHUNK = 50_000
_FIRST_TIME = 700_000_000
"""Seconds since the epoch: 1992, before the first rating."""
_LAST_TIME = _FIRST_TIME + 1_000_000_000

Records = npt.NDArray[np.void]


@dataclass(frozen=True, kw_only=True)
class MovieLensRules:
    """The published rules.

    Attributes:
        train_share: of the users; the published split draws 100,000 of 138,493.
        history_length: most recent ratings of the user that a row has.
        seed: of the draw.
        buckets: of users, one of which is in memory at a time.
    """

    train_share: float = 100_000 / 138_493
    history_length: int = 50
    seed: int = 0
    buckets: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.train_share < 1:
            raise DataError(
                f"the training share is {self.train_share}, expected 0 to 1"
            )
        if not 1 <= self.history_length <= 1_000:
            raise DataError(
                f"the history length is {self.history_length}, expected 1 to 1000"
            )


def convert_movielens(
    source: str | Path, target: str | Path, settings: LogSettings, rules: MovieLensRules
) -> dict[str, Any]:
    """Writes `target`/impressions-*, user by user.

    Memory is that of a bucket of users.

    Args:
        source: the folder with ratings.csv and movies.csv, plain or `.gz`.
        target: a folder that appears when it is complete.
        settings: how logs are written.
        rules: the published rules.

    Returns:
        Rows and label rates of each split.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    ratings = file_in(source, "ratings.csv")
    movies = KeyedTable(file_in(source, "movies.csv"), _MOVIES, "movieId")
    result: dict[str, Any] = {}
    with (
        open_buckets(target, rules.buckets, ratings=_RECORD) as [buckets],
        open_conversion(target, settings, ("liked",), result) as conversion,
    ):
        users = _set_aside(ratings, movies, buckets, conversion)
        drawn = np.random.default_rng(rules.seed).permutation(users)
        train = np.sort(drawn[: round(rules.train_share * len(users))])
        for records in buckets:
            for table in _tables(records, movies, rules):
                inside = pa.array(np.isin(table["user_id"].to_numpy(), train))
                conversion.write("train", table.filter(inside))
                conversion.write("test", table.filter(pc.invert(inside)))
        result |= {"users": len(users), "train_users": len(train)}
    return result


def _set_aside(
    path: Path, movies: KeyedTable, buckets: UserBuckets, conversion: Conversion
) -> npt.NDArray[np.int64]:
    """Puts the ratings into buckets. Returns the users, sorted."""
    users = np.zeros(0, np.int64)
    for line, batch in read_batches(path, _RATINGS):
        columns = {name: batch[name].to_numpy() for name in _RATINGS.types}
        movie = movies.places(columns["movieId"])
        stars, time = columns["rating"], columns["timestamp"]
        half = 2 * stars
        wrong = {
            "movieId": movie < 0,
            "rating": (half != np.round(half)) | (half < 1) | (half > 10),
            "timestamp": (time < _FIRST_TIME) | (time >= _LAST_TIME),
        }
        expected = {
            "movieId": "one of movies.csv",
            "rating": "0.5 to 5 stars in half steps",
            "timestamp": "seconds since the epoch, 1992 to 2023",
        }
        for name, mask in wrong.items():
            if mask.any():
                place = int(np.argmax(mask))
                raise line_error(
                    path,
                    line + place,
                    f"the {name} is {columns[name][place]}, expected {expected[name]}",
                )
        buckets.add(user=columns["userId"], movie=movie, half_stars=half, time=time)
        users = np.union1d(users, columns["userId"])
        conversion.advance(batch.num_rows, path.name)
    return users


def _tables(
    records: Records, movies: KeyedTable, rules: MovieLensRules
) -> Iterator[pa.Table]:
    """Yields the rows of a bucket, in order of user and time."""
    records = records[np.lexsort((records["time"], records["user"]))]
    # Users by number within the bucket: histories want small ones.
    _, user = np.unique(records["user"], return_inverse=True)
    time = records["time"] * 1_000
    histories = Histories(
        first_time=_FIRST_TIME * 1_000, max_length=rules.history_length
    )
    histories.add(user, time, np.arange(len(records)))
    genres = movies.table["genres"].combine_chunks()
    first_genre = pc.list_element(pc.split_pattern(genres, "|"), 0)
    ids = movies.table["movieId"].to_numpy()
    for start in range(0, len(records), _CHUNK):
        part = slice(start, start + _CHUNK)
        row, before = records[part], histories.before(user[part], time[part])
        earlier = records[before.items]
        hours = np.repeat(time[part], np.diff(before.offsets)) - before.times
        yield pa.table(
            {
                "timestamp_ms": time[part],
                "user_id": row["user"].astype(np.int64),
                "movie_id": ids[row["movie"]],
                "genre": first_genre.take(pa.array(row["movie"])),
                "genres": pc.split_pattern(genres.take(pa.array(row["movie"])), "|"),
                "liked": (row["half_stars"] >= 8).astype(np.int8),
                "history_movie": list_column(before.offsets, ids[earlier["movie"]]),
                "history_genre": list_column(
                    before.offsets, first_genre.take(pa.array(earlier["movie"]))
                ),
                "history_stars": list_column(
                    before.offsets, (earlier["half_stars"] / 2).astype(np.float32)
                ),
                "history_hours": list_column(
                    before.offsets, np.round(hours / 3_600_000, 3).astype(np.float32)
                ),
            }
        )
