"""The Globo.com click log in memory, and what was known at any moment of it."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from configs.errors import DataError

__all__ = ["CONTEXT", "ArticleTimes", "Clicks", "read_clicks"]

Integers = npt.NDArray[np.int64]

CONTEXT = {
    "environment": "click_environment",
    "device": "click_deviceGroup",
    "os": "click_os",
    "country": "click_country",
    "region": "click_region",
    "referrer": "click_referrer_type",
}
"""Names of the context columns, and those of the source. `session_size` counts the
clicks to come and is left out."""

_TIME_BITS = 42


@dataclass(frozen=True)
class Clicks:
    """The clicks in the order of time; aligned arrays [clicks].

    Attributes:
        time: int64, ms since the epoch, not decreasing.
        user: int64, the source's user number.
        article: int64, index into `articles`.
        articles: int64 [articles], the source's article numbers, sorted.
        context: int8 arrays by the names of CONTEXT.
    """

    time: Integers
    user: Integers
    article: Integers
    articles: Integers
    context: dict[str, npt.NDArray[np.int8]]

    def __len__(self) -> int:
        return len(self.time)


class ArticleTimes:
    """When each article, and each pair of user and article, was clicked."""

    def __init__(self, clicks: Clicks) -> None:
        self._first_time = int(clicks.time[0])
        self._num_articles = len(clicks.articles)
        times = clicks.time - self._first_time
        # Sorting keeps the order of time within an article, so sort by both at once.
        self._clicked = np.sort((clicks.article << _TIME_BITS) | times)
        self._launch = np.full(self._num_articles, np.iinfo(np.int64).max)
        np.minimum.at(self._launch, clicks.article, clicks.time)
        pairs = clicks.user * self._num_articles + clicks.article
        # The first of equal values is the earliest, as clicks are in order of time.
        self._pairs, first = np.unique(pairs, return_index=True)
        self._pair_time = clicks.time[first]

    def first_click(self, articles: Integers) -> Integers:
        """Returns when anybody first clicked each article, ms since the epoch."""
        launch: Integers = self._launch[articles]
        return launch

    def clicks_between(
        self, articles: Integers, starts: Integers, ends: Integers
    ) -> Integers:
        """Returns how often each article was clicked in [start, end)."""
        first = np.searchsorted(self._clicked, self._key(articles, starts))
        last = np.searchsorted(self._clicked, self._key(articles, ends))
        counts: Integers = last - first
        return counts

    def known_to(
        self, users: Integers, articles: Integers, times: Integers
    ) -> npt.NDArray[np.bool_]:
        """Returns whether the user clicked the article at or before the time."""
        known: npt.NDArray[np.bool_] = self.first_click_of(users, articles) <= times
        return known

    def first_click_of(self, users: Integers, articles: Integers) -> Integers:
        """Returns when the user first clicked the article; the largest int64 if
        never."""
        pairs = users * self._num_articles + articles
        places = np.searchsorted(self._pairs, pairs)
        places = np.minimum(places, len(self._pairs) - 1)
        found = self._pairs[places] == pairs
        never = np.iinfo(np.int64).max
        times: Integers = np.where(found, self._pair_time[places], never)
        return times

    def _key(self, articles: Integers, times: Integers) -> Integers:
        # Moments before the log count as its beginning, lest they borrow from the
        # bits of the article.
        since = np.maximum(times - self._first_time, 0)
        keys: Integers = (articles << _TIME_BITS) | since
        return keys


def read_clicks(source: str | Path) -> Clicks:
    """Reads the click log, a CSV file with a header line, plain or `.gz`.

    All clicks are held in memory: about 50 bytes each, lookups included.

    Raises:
        DataError: if the file cannot be read, is empty, or lacks a column.
    """
    names = ["user_id", "click_article_id", "click_timestamp", *CONTEXT.values()]
    types = dict.fromkeys(names[:3], pa.int64()) | dict.fromkeys(names[3:], pa.int8())
    options = pa_csv.ConvertOptions(include_columns=names, column_types=types)
    try:
        if str(source).endswith(".gz"):
            with gzip.open(source, "rb") as file:
                table = pa_csv.read_csv(file, convert_options=options)
        else:
            table = pa_csv.read_csv(source, convert_options=options)
    except (OSError, EOFError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"cannot read {source} as the Globo click log: {error}. Expected a CSV file"
            f" with a header line and the columns {', '.join(names)}"
        ) from error
    if table.num_rows == 0:
        raise DataError(f"{source} holds no clicks")
    if any(table[name].null_count for name in names):
        raise DataError(f"{source} has empty values, expected whole numbers everywhere")
    columns = {name: table[name].to_numpy() for name in names}
    order = np.argsort(columns["click_timestamp"], kind="stable")
    articles, article = np.unique(columns["click_article_id"], return_inverse=True)
    return Clicks(
        time=columns["click_timestamp"][order],
        user=columns["user_id"][order],
        article=article[order],
        articles=articles,
        context={name: columns[source][order] for name, source in CONTEXT.items()},
    )
