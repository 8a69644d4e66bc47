"""Makes impressions of any log that has clicks only, by drawing what was not clicked.

As for the Globo log (`preprocessing.datasets.globo`): each click becomes a request of
the clicked item and of items that others clicked in the hours before, at the same time
and with the same context; histories hold what the user clicked strictly before.
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

from configs.data import LogFiles, TimeUnit
from configs.durations import duration_ms
from configs.errors import DataError
from configs.publishing import publish_folder
from preprocessing.blocks import plan_blocks
from preprocessing.datasets.click_requests import click_table, lists_of, shuffled
from preprocessing.datasets.globo_clicks import ArticleTimes, Clicks
from preprocessing.datasets.globo_negatives import sample_negatives, usable_clicks
from preprocessing.datasets.histories import Histories
from preprocessing.datasets.log_writer import LogFormat, LogWriter
from preprocessing.fields import Field
from preprocessing.files import Format, find_files
from preprocessing.inspection import inspect_file
from preprocessing.normalize import REASON
from preprocessing.reading import read_block

__all__ = ["ClickColumns", "ClickLog", "DrawSettings", "draw_impressions", "read_log"]

Integers = npt.NDArray[np.int64]

_CHUNK = 20_000
"""Clicks converted at a time. Part of what the seed means: do not change it."""
_HOUR_MS = 3_600_000
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class ClickColumns:
    """The columns of a click log.

    Attributes:
        user: who clicked.
        item: on what.
        time: when.
        unit: of the time.
        context: columns that say something of the moment, and go along.
    """

    user: str
    item: str
    time: str
    unit: TimeUnit = "ms"
    context: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClickLog:
    """The clicks in the order of time.

    Attributes:
        columns: names for the impressions.
        clicks: numbers of users and items; `articles` are the items' ids as text.
        users: ids of the users by number, as text.
        context: the context columns, a row for each click.
        unreadable: records that could not be read.
    """

    columns: ClickColumns
    clicks: Clicks
    users: npt.NDArray[np.object_]
    context: pa.Table
    unreadable: int = 0

    @classmethod
    def of(
        cls, columns: ClickColumns, table: pa.Table, times: Integers, unreadable: int
    ) -> "ClickLog":
        """Builds the log.

        Args:
            columns: names of the columns of `table`, and for the impressions.
            table: users, items and context.
            times: in ms, aligned with `table`.
            unreadable: records that could not be read.
        """
        order = np.argsort(times, kind="stable")
        table = table.take(pa.array(order)).combine_chunks()
        numbers, names = {}, {}
        for kind in ("user", "item"):
            texts = table[getattr(columns, kind)].cast(pa.string())
            encoded = texts.combine_chunks().dictionary_encode()
            numbers[kind] = encoded.indices.to_numpy().astype(np.int64)
            names[kind] = encoded.dictionary.to_numpy(zero_copy_only=False)
        clicks = Clicks(
            time=times[order],
            user=numbers["user"],
            article=numbers["item"],
            articles=names["item"],
            context={},
        )
        context = table.select(list(columns.context))
        return cls(columns, clicks, names["user"], context, unreadable)


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """How clicks become impressions; as `GloboSettings` says."""

    negatives: int = 4
    window: str = "6h"
    history_length: int = 20
    last: int | None = None
    """Make requests of so many clicks, the last ones, only."""
    seed: int = 0
    log_format: LogFormat = "parquet"
    rows_per_file: int = 1_000_000


def read_log(
    path: str, columns: ClickColumns, format: Format | None = None
) -> ClickLog:
    """Reads a click log of any format; it is held in memory.

    Raises:
        DataError: if it cannot be read, or lacks a column.
    """
    fields = [Field(name="time", column=columns.time, kind="time", unit=columns.unit)]
    for name in (columns.user, columns.item):
        fields.append(Field(name=name, column=name, kind="id"))
    for name in columns.context:
        fields.append(Field(name=name, column=name, kind="string"))
    files = find_files("clicks", LogFiles(path=path, format=format), "SOURCE")
    headers = {file.path: inspect_file(file, fields)[0] for file in files}
    parts, unreadable = [], 0
    for block in plan_blocks(files, headers, _BLOCK_BYTES):
        for part in read_block(block, fields):
            good = part.filter(pa.array(part[REASON].to_numpy() == 0))
            unreadable += part.num_rows - good.num_rows
            parts.append(good)
    table = pa.concat_tables(parts)
    if table.num_rows == 0:
        raise DataError(f"{path} holds no click that can be read")
    return ClickLog.of(columns, table, table["time"].to_numpy(), unreadable)


def draw_impressions(
    log: ClickLog, target: str | Path, settings: DrawSettings, *, overwrite: bool
) -> dict[str, int]:
    """Writes `target`/impressions-* and `target`/clicks-*.

    Args:
        log: the clicks.
        target: a folder that appears when it is complete.
        settings: how clicks become impressions.
        overwrite: replace `target` if it exists.

    Returns:
        What became of the clicks, and the numbers of rows.

    Raises:
        DataError: if no click can become a request.
    """
    counters = {"clicks_read": len(log.clicks), "unreadable": log.unreadable}
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
        progress = stack.enter_context(tqdm(unit=" impressions", file=sys.stderr))
        for table in _chunks(log, settings, counters):
            impressions.write(table.drop_columns("is_click"))
            clicked.write(click_table(table))
            progress.update(table.num_rows)
        if impressions.rows == 0:
            raise DataError(
                "no click can become a request: of each item an earlier click, in the"
                f" window of {settings.window}, is needed. Give a longer log or window"
            )
    return counters | {"impressions": impressions.rows, "clicks": clicked.rows}


def _chunks(
    log: ClickLog, settings: DrawSettings, counters: dict[str, int]
) -> Iterator[pa.Table]:
    clicks, window = log.clicks, duration_ms(settings.window)
    rows = np.arange(len(clicks))[-settings.last if settings.last else 0 :]
    items = ArticleTimes(clicks)
    histories = Histories(
        first_time=int(clicks.time[0]), max_length=settings.history_length
    )
    histories.add(clicks.user, clicks.time, clicks.article)
    masks = usable_clicks(clicks, items, rows, window)
    usable = rows[masks.pop("usable")]
    names = {n: n.replace("article", "item") for n in masks}
    counters |= {f"dropped_{names[n]}": int(mask.sum()) for n, mask in masks.items()}
    for number, first in enumerate(range(0, len(usable), _CHUNK)):
        chunk = usable[first : first + _CHUNK]
        rng = np.random.default_rng([settings.seed, number])
        negatives = sample_negatives(
            rng, clicks, items, chunk, count=settings.negatives, window=window
        )
        shown, is_click = shuffled(rng, clicks.article[chunk], negatives)
        yield _table(log, items, histories, chunk, shown, is_click, window)


def _table(
    log: ClickLog,
    items: ArticleTimes,
    histories: Histories,
    chunk: Integers,
    shown: Integers,
    is_click: npt.NDArray[np.bool_],
    window: int,
) -> pa.Table:
    """Returns the rows of a chunk of clicks, with `is_click` as their last column."""
    clicks, names = log.clicks, log.columns
    places = np.arange(shown.size).reshape(shown.shape) % shown.shape[1]
    filled = shown >= 0
    request, place, item = np.nonzero(filled)[0], places[filled], shown[filled]
    row = chunk[request]
    time = clicks.time[row]
    history = histories.before(clicks.user[chunk], clicks.time[chunk])
    lengths = np.diff(history.offsets)
    hours = (np.repeat(clicks.time[chunk], lengths) - history.times) / _HOUR_MS
    context = log.context.take(pa.array(row))
    columns = {
        "impression_id": pa.array(row * shown.shape[1] + place),
        "request_id": pa.array(row),
        "timestamp_ms": pa.array(time),
        names.user: pa.array(log.users[clicks.user[row]], pa.string()),
        names.item: pa.array(clicks.articles[item], pa.string()),
        "item_age_hours": pa.array(
            np.round((time - items.first_click(item)) / _HOUR_MS, 3)
        ),
        "item_recent_clicks": pa.array(items.clicks_between(item, time - window, time)),
        **{name: context[name] for name in context.column_names},
        f"history_{names.item}": lists_of(
            history.offsets, clicks.articles[history.items], request
        ),
        "history_age_hours": lists_of(
            history.offsets, np.round(hours, 3).astype(np.float32), request
        ),
        "is_click": pa.array(is_click[filled]),
    }
    return pa.table(columns)
