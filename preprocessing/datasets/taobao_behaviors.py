"""Converts Taobao's UserBehavior log by the rules of MIMN and CAN.

A line of UserBehavior.csv, without a header, is a behaviour: user, item, category, type
(pv, cart, fav or buy) and time in seconds. The behaviours of a user before the last one
are the history of one row, whose item is that of the last behaviour (label 1) or, by
the toss of a coin, one drawn from all items (label 0). Rows whose last behaviour is
among the latest 30% are for test. Lines outside the nine days of the log and lines that
are there twice are left out, and so are users with few behaviours, as in AT4CTR.

Source: Zhu et al., "Learning Tree-based Deep Model for Recommender Systems", KDD 2018
(the data); Pi et al., "Practice on Long Sequential User Behavior Modeling", KDD 2019,
and its public code (the rows and the split); Bian et al., "CAN", WSDM 2022.
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
from preprocessing.datasets.delimited import Layout, line_error, read_batches
from preprocessing.datasets.draws import uniform
from preprocessing.datasets.history_lists import flat_ranges, list_column
from preprocessing.datasets.item_categories import ItemCategories
from preprocessing.datasets.user_buckets import UserBuckets, open_buckets

__all__ = ["PUBLISHED", "TYPES", "BehaviorRules", "convert_taobao_behaviors"]

PUBLISHED = {"users": 987_991, "items": 4_161_138, "behaviors": 100_095_182}
"""Table 1 of AT4CTR."""

TYPES = ("pv", "cart", "fav", "buy")

_LAYOUT = Layout(
    of="Taobao's UserBehavior.csv (user, item, category, type, seconds)",
    types={
        "user": pa.int64(),
        "item": pa.int64(),
        "category": pa.int64(),
        "type": pa.string(),
        "time": pa.int64(),
    },
    header=False,
)
_RECORD = {"user": "i4", "item": "i4", "category": "i4", "type": "i1", "time": "i4"}

_FROM = 1_511_539_200
"""Midnight in China at the beginning of 2017-11-25, in seconds."""
_UNTIL = _FROM + 9 * 86_400

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BehaviorRules:
    """The published rules.

    Attributes:
        min_behaviors: users with fewer are dropped.
        history_length: most recent behaviours before the last one that a row has.
        test_share: of the users, those whose last behaviours are the latest.
        negatives: rows with drawn items for each user, beside one with the last item;
            0 tosses a coin instead, and each user has one row.
        seed: of coins and items.
        buckets: of users, one of which is in memory at a time.
    """

    min_behaviors: int = 10
    history_length: int = 199
    test_share: float = 0.3
    negatives: int = 0
    seed: int = 0
    buckets: int = 64

    def __post_init__(self) -> None:
        for name, least, most in (
            ("min_behaviors", 2, 1_000),
            ("history_length", 1, 1_000),
            ("negatives", 0, 100),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise DataError(f"{name} is {value}, expected {least} to {most}")
        if not 0 < self.test_share < 1:
            raise DataError(f"the test share is {self.test_share}, expected 0 to 1")


@dataclass(frozen=True)
class _Users:
    """The users of a bucket that stay: behaviours in order of user and time."""

    records: Records
    starts: Integers
    ends: Integers

    @property
    def last(self) -> Records:
        """The last behaviour of each user."""
        last: Records = self.records[self.ends - 1]
        return last


def convert_taobao_behaviors(
    source: str | Path, target: str | Path, settings: LogSettings, rules: BehaviorRules
) -> dict[str, Any]:
    """Writes `target`/impressions-*, user by user.

    Memory is that of a bucket of users, and of the category of each item.

    Args:
        source: UserBehavior.csv, plain or gzip.
        target: a folder that appears when it is complete.
        settings: how logs are written.
        rules: the published rules.

    Returns:
        Rows and label rates of each split, what was dropped, and what is left.

    Raises:
        DataError: if the file cannot be read, or a line is not of the layout.
    """
    result: dict[str, Any] = {}
    with (
        open_buckets(target, rules.buckets, behaviors=_RECORD) as [buckets],
        open_conversion(target, settings, ("click",), result) as conversion,
    ):
        categories = _set_aside(Path(source), buckets, conversion)
        last_times, left = [], 0
        for records in buckets:
            users = _users_of(records, rules, conversion)
            last_times.append(users.last["time"].astype(np.int64))
            left += len(users.records)
        split_time = _split_time(np.concatenate(last_times), rules, source)
        for records in buckets:
            users = _users_of(records, rules, None)
            for table in _tables(users, categories, rules):
                late = pc.greater(table["timestamp_ms"], split_time * 1_000)
                conversion.write("train", table.filter(pc.invert(late)))
                conversion.write("test", table.filter(late))
        result |= {
            "users": sum(len(times) for times in last_times),
            "items": len(categories.items),
            "behaviors": left,
            "published": PUBLISHED,
        }
    return result


def _set_aside(
    path: Path, buckets: UserBuckets, conversion: Conversion
) -> ItemCategories:
    """Puts the behaviours into buckets. Returns the category of each item."""
    categories = ItemCategories()
    known = pa.array(TYPES)
    for line, batch in read_batches(path, _LAYOUT):
        types = pc.index_in(batch["type"], value_set=known)
        if types.null_count:
            place = pc.index(types.is_null(), True).as_py()
            raise line_error(
                path,
                line + place,
                f"the type is {batch['type'][place].as_py()!r}, expected"
                f" {', '.join(TYPES)}",
            )
        columns = {
            name: batch[name].to_numpy() for name in ("user", "item", "category")
        }
        for name, values in columns.items():
            wrong = (values < 0) | (values >= ItemCategories.LIMIT)
            if wrong.any():
                place = int(np.argmax(wrong))
                raise line_error(
                    path,
                    line + place,
                    f"the {name} is {values[place]}, expected 0 to"
                    f" {ItemCategories.LIMIT - 1}",
                )
        time = batch["time"].to_numpy()
        inside = (time >= _FROM) & (time < _UNTIL)
        conversion.drop("outside_the_nine_days", int((~inside).sum()))
        columns = {name: values[inside] for name, values in columns.items()}
        categories.add(columns["item"], columns["category"])
        buckets.add(**columns, type=types.to_numpy()[inside], time=time[inside])
        conversion.advance(batch.num_rows, path.name)
    return categories


def _users_of(
    records: Records, rules: BehaviorRules, conversion: Conversion | None
) -> _Users:
    """Returns those users of a bucket that stay; counts what goes, if asked."""
    names = ("type", "category", "item", "time", "user")
    order = np.lexsort([records[name] for name in names])
    alike = np.zeros(len(records), np.bool_)
    if len(records):
        alike[order[1:]] = records[order[1:]] == records[order[:-1]]
    kept = records[~alike]
    kept = kept[np.lexsort((kept["time"], kept["user"]))]
    starts = np.flatnonzero(np.diff(kept["user"], prepend=-1))
    ends = np.append(starts[1:], len(kept))
    stay = ends - starts >= rules.min_behaviors
    if conversion is not None:
        conversion.drop("there_twice", int(alike.sum()))
        conversion.drop("of_users_with_few_behaviors", (ends - starts)[~stay].sum())
        conversion.drop("users_with_few_behaviors", int((~stay).sum()))
    kept = kept[np.repeat(stay, ends - starts)]
    ends = np.cumsum((ends - starts)[stay])
    starts = np.append(0, ends[:-1])[: len(ends)]
    return _Users(kept, starts, ends)


def _split_time(times: Integers, rules: BehaviorRules, source: str | Path) -> int:
    """Returns the latest last behaviour, in seconds, of a training row."""
    if not len(times):
        raise DataError(
            f"{source} has no user with {rules.min_behaviors} behaviours between"
            " 2017-11-25 and 2017-12-03: is it the whole log?"
        )
    place = int(len(times) * (1 - rules.test_share))
    return int(np.sort(times)[place])


def _tables(
    users: _Users, categories: ItemCategories, rules: BehaviorRules
) -> Iterator[pa.Table]:
    chunk = max(1, 4_000_000 // rules.history_length)
    for first in range(0, len(users.starts), chunk):
        part = slice(first, first + chunk)
        yield _table(
            _Users(users.records, users.starts[part], users.ends[part]),
            categories,
            rules,
        )


def _table(users: _Users, categories: ItemCategories, rules: BehaviorRules) -> pa.Table:
    last = users.last
    user = np.repeat(np.arange(len(last)), max(1, rules.negatives + 1))
    label = np.tile(np.arange(rules.negatives + 1) == 0, len(last)).astype(np.int8)
    ids = last["user"].astype(np.int64)
    if not rules.negatives:
        label = (uniform(rules.seed, ids) < 0.5).astype(np.int8)
    number = np.arange(len(user)) % (rules.negatives + 1)
    drawn = categories.draw(
        rules.seed, ids[user] * 101 + number, other_than=last["item"][user]
    )
    item = np.where(label == 1, last["item"][user], drawn)
    category = np.where(label == 1, last["category"][user], categories.of(drawn))
    ends = users.ends - 1
    starts = np.maximum(users.starts, ends - rules.history_length)
    offsets, places = flat_ranges(starts[user], ends[user])
    history = users.records[places]
    age = np.repeat(last["time"][user], np.diff(offsets)) - history["time"]
    return pa.table(
        {
            "timestamp_ms": last["time"][user].astype(np.int64) * 1_000,
            "user_id": ids[user],
            "item_id": item.astype(np.int64),
            "category_id": category.astype(np.int64),
            "click": label,
            "history_item": list_column(offsets, history["item"]),
            "history_category": list_column(offsets, history["category"]),
            "history_type": list_column(
                offsets, pa.array(TYPES).take(pa.array(history["type"]))
            ),
            "history_hours": list_column(offsets, (age / 3_600).astype(np.float32)),
        }
    )
