"""Converts the Globo.com click log to impressions and clicks.

The source has clicks only. Each click becomes a request: the clicked article, and
others drawn from what people clicked in the hours before, at the same time, in the same
context and with the same history. Everything about a row is as of its moment: the
history holds what the user clicked strictly before it, articles' ages and recent counts
likewise, and none of them sees the click itself.

Source: de Souza Pereira Moreira et al., "CHAMELEON: A Deep Learning Meta-Architecture
for News Recommender Systems", 2018.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tqdm import tqdm

from configs.durations import duration_ms, moment_ms
from configs.errors import DataError
from configs.publishing import publish_folder
from preprocessing.datasets.click_requests import click_table, lists_of, shuffled
from preprocessing.datasets.globo_clicks import ArticleTimes, Clicks, read_clicks
from preprocessing.datasets.globo_negatives import sample_negatives, usable_clicks
from preprocessing.datasets.histories import Histories
from preprocessing.datasets.log_writer import LogFormat, LogWriter

__all__ = ["GloboSettings", "convert_globo"]

Integers = npt.NDArray[np.int64]

_CHUNK = 50_000
"""Clicks converted at a time. Part of what the seed means: do not change it."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, kw_only=True)
class GloboSettings:
    """How clicks become impressions.

    Attributes:
        negatives: articles drawn for each click.
        window: they were clicked by somebody in this time before.
        history_length: most recent clicks of the user that a row has.
        start: first moment whose clicks become impressions (histories and counts still
            know all earlier ones), or None.
        until: end of these moments, itself not among them, or None.
        seed: of the draws.
        log_format: of the files.
        rows_per_file: a file is full when it has this many rows.
    """

    negatives: int = 4
    window: str = "6h"
    history_length: int = 20
    start: str | None = None
    until: str | None = None
    seed: int = 0
    log_format: LogFormat = "parquet"
    rows_per_file: int = 1_000_000

    def __post_init__(self) -> None:
        for name, most in (("negatives", 100), ("history_length", 1_000)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise DataError(f"{name} is {value}, expected 1 to {most}")
        try:
            span = self.span
            duration_ms(self.window)
        except ValueError as error:
            raise DataError(f"convert globo: {error}") from error
        if span[0] >= span[1]:
            raise DataError(f"--from ({self.start}) is not before --until {self.until}")

    @property
    def span(self) -> tuple[int, int]:
        """First moment and end in ms since the epoch; far away where open."""
        start = 0 if self.start is None else moment_ms(self.start)
        return start, 2**62 if self.until is None else moment_ms(self.until)


def convert_globo(
    source: str | Path,
    target: str | Path,
    settings: GloboSettings,
    *,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes `target`/impressions-* and `target`/clicks-*.

    Memory is that of all clicks and of a chunk of impressions.

    Args:
        source: `globo_clicks.csv`, plain or `.gz`.
        target: a folder that appears when it is complete.
        settings: how clicks become impressions.
        overwrite: replace `target` if it exists.

    Returns:
        What became of the clicks, and the numbers of rows.

    Raises:
        DataError: if the source cannot be read, or no click lies in the period.
    """
    clicks = read_clicks(source)
    rows = np.arange(*np.searchsorted(clicks.time, settings.span))
    if not len(rows):
        first, last = np.array([clicks.time[0], clicks.time[-1]], "M8[ms]")
        raise DataError(
            f"{source} has no click from {settings.start} until {settings.until}: its"
            f" clicks lie between {first} and {last}"
        )
    counters = {"clicks_read": len(clicks), "clicks_in_period": len(rows)}
    with ExitStack() as stack:
        folder = stack.enter_context(
            publish_folder(target, overwrite=overwrite, mark="impressions-*")
        )
        impressions, clicked = (
            stack.enter_context(
                LogWriter(folder, name, settings.log_format, settings.rows_per_file)
            )
            for name in ("impressions", "clicks")
        )
        progress = stack.enter_context(
            tqdm(total=len(rows), unit=" clicks", file=sys.stderr)
        )
        for table, count in _chunks(clicks, rows, settings, counters):
            impressions.write(table.drop_columns("is_click"))
            clicked.write(click_table(table))
            progress.update(count)
    counters |= {"impressions": impressions.rows, "clicks": clicked.rows}
    return counters


def _chunks(
    clicks: Clicks, rows: Integers, settings: GloboSettings, counters: dict[str, int]
) -> Iterator[tuple[pa.Table, int]]:
    window = duration_ms(settings.window)
    articles = ArticleTimes(clicks)
    histories = Histories(
        first_time=int(clicks.time[0]), max_length=settings.history_length
    )
    histories.add(clicks.user, clicks.time, clicks.article)
    masks = usable_clicks(clicks, articles, rows, window)
    usable = rows[masks.pop("usable")]
    counters |= {f"dropped_{name}": int(mask.sum()) for name, mask in masks.items()}
    counters["rows_short_of_negatives"] = 0
    done = 0
    for number, first in enumerate(range(0, len(usable), _CHUNK)):
        chunk = usable[first : first + _CHUNK]
        rng = np.random.default_rng([settings.seed, number])
        negatives = sample_negatives(
            rng, clicks, articles, chunk, count=settings.negatives, window=window
        )
        counters["rows_short_of_negatives"] += int((negatives < 0).any(axis=1).sum())
        table = _table(rng, clicks, articles, histories, chunk, negatives, window)
        end = int(np.searchsorted(rows, chunk[-1], "right"))
        yield table, end - done
        done = end


def _table(
    rng: np.random.Generator,
    clicks: Clicks,
    articles: ArticleTimes,
    histories: Histories,
    chunk: Integers,
    negatives: Integers,
    window: int,
) -> pa.Table:
    """Returns the rows of a chunk of clicks, with `is_click` as their last column."""
    shown, is_click = shuffled(rng, clicks.article[chunk], negatives)
    places = np.arange(shown.size).reshape(shown.shape) % shown.shape[1]
    filled = shown >= 0
    request, place, article = np.nonzero(filled)[0], places[filled], shown[filled]
    row = chunk[request]
    time, user = clicks.time[row], clicks.user[row]
    history = histories.before(clicks.user[chunk], clicks.time[chunk])
    lengths = np.diff(history.offsets)
    hours = (np.repeat(clicks.time[chunk], lengths) - history.times) / _HOUR_MS
    columns = {
        "impression_id": pa.array(row * shown.shape[1] + place),
        "request_id": pa.array(row),
        "timestamp_ms": pa.array(time),
        "user_id": pa.array(user),
        "article_id": pa.array(clicks.articles[article]),
        "article_age_hours": pa.array(
            np.round((time - articles.first_click(article)) / _HOUR_MS, 3)
        ),
        "article_recent_clicks": pa.array(
            articles.clicks_between(article, time - window, time)
        ),
        **{name: pa.array(values[row]) for name, values in clicks.context.items()},
        "history_article": lists_of(
            history.offsets, clicks.articles[history.items], request
        ),
        "history_age_hours": lists_of(
            history.offsets, np.round(hours, 3).astype(np.float32), request
        ),
        "is_click": pa.array(is_click[filled]),
    }
    return pa.table(columns)
