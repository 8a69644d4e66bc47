"""Converts Taobao's display-advertising log (Ali_Display_Ad_Click) and its tables.

raw_sample.csv has the impressions, ad_feature.csv the advertisements, user_profile.csv
the users, and behavior_log.csv, if it is there, what users did in 22 days: a row's
history are the user's behaviours strictly before it. As published, rows whose user or
advertisement has no profile are dropped, and the last day, 2017-05-13 in China, is for
test.

Source: Alibaba, "Ad Display/Click Data on Taobao.com", 2018; Lyu et al., "Deep Match to
Rank Model", AAAI 2020; BARS's TaobaoAd_x1.
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
from preprocessing.datasets.conversion import (
    Conversion,
    LogSettings,
    check_labels,
    open_conversion,
)
from preprocessing.datasets.delimited import file_in, line_error, read_batches
from preprocessing.datasets.keyed_table import KeyedTable
from preprocessing.datasets.taobao_ad_histories import (
    BEHAVIOR_RECORD,
    BucketHistories,
    set_behaviors_aside,
)
from preprocessing.datasets.taobao_ad_layouts import (
    AD_COLUMNS,
    ADS,
    PROFILE_COLUMNS,
    SAMPLES,
    USERS,
)
from preprocessing.datasets.user_buckets import open_buckets

__all__ = ["PUBLISHED", "TEST_FROM", "AdRules", "convert_taobao_ads"]

PUBLISHED = {"train": 21_929_911, "test": 3_099_515}
"""Of TaobaoAd_x1, which drops about 5% of 26,557,961 rows for want of a profile."""

TEST_FROM = 1_494_604_800
"""Midnight in China at the beginning of 2017-05-13, in seconds."""

_RECORD = {"user": "i4", "time": "i4", "ad": "i4", "profile": "i4", "slot": "i1"}
_RECORD |= {"click": "i1"}
_CHUNK = 50_000

Records = npt.NDArray[np.void]


@dataclass(frozen=True, kw_only=True)
class AdRules:
    """The published rules.

    Attributes:
        history_length: most recent behaviours of the user that a row has.
        keep_incomplete: keep rows whose user or advertisement has no profile.
        buckets: of users, one of which is in memory at a time where there are
            histories.
    """

    history_length: int = 50
    keep_incomplete: bool = False
    buckets: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.history_length <= 1_000:
            raise DataError(
                f"the history length is {self.history_length}, expected 1 to 1000"
            )


class _Tables:
    """The tables beside the impressions."""

    def __init__(self, source: str | Path) -> None:
        self.ads = KeyedTable(file_in(source, "ad_feature.csv"), ADS, "adgroup_id")
        users = file_in(source, "user_profile.csv")
        self.users = KeyedTable(users, USERS, "userid")
        self.slots: list[str] = []

    def slot_numbers(self, slots: pa.Array) -> npt.NDArray[np.int64]:
        """Returns the place of each slot in `self.slots`; new ones are added."""
        encoded = slots.dictionary_encode()
        for slot in encoded.dictionary.to_pylist():
            if slot not in self.slots:
                self.slots.append(slot)
        places = [self.slots.index(slot) for slot in encoded.dictionary.to_pylist()]
        numbers: npt.NDArray[np.int64] = np.array(places, np.int64)[encoded.indices]
        return numbers


def convert_taobao_ads(
    source: str | Path, target: str | Path, settings: LogSettings, rules: AdRules
) -> dict[str, Any]:
    """Writes `target`/impressions-*; with histories, bucket by bucket of users.

    Memory is that of the two tables, and of a bucket of users.

    Args:
        source: the folder with raw_sample.csv, ad_feature.csv, user_profile.csv and, if
            there are to be histories, behavior_log.csv, plain or `.gz`.
        target: a folder that appears when it is complete.
        settings: how logs are written.
        rules: the published rules.

    Returns:
        Rows and label rates of each split, and what was dropped.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    samples, tables = file_in(source, "raw_sample.csv"), _Tables(source)
    log = [Path(source) / f"behavior_log.csv{end}" for end in ("", ".gz")]
    found = [path for path in log if path.is_file()]
    result: dict[str, Any] = {"histories": bool(found)}
    with open_conversion(target, settings, ("click",), result, PUBLISHED) as conversion:
        impressions = _impressions(samples, tables, rules, conversion)
        rows: Iterator[tuple[Records, BucketHistories | None]]
        if found:
            rows = _with_histories(impressions, found[0], target, rules, conversion)
        else:
            rows = ((records, None) for records in impressions)
        for records, histories in rows:
            for start in range(0, len(records), _CHUNK):
                part = records[start : start + _CHUNK]
                table = _table(part, tables, histories)
                test = pa.array(part["time"] >= TEST_FROM)
                conversion.write("train", table.filter(pc.invert(test)))
                conversion.write("test", table.filter(test))
    return result


def _impressions(
    path: Path, tables: _Tables, rules: AdRules, conversion: Conversion
) -> Iterator[Records]:
    for line, batch in read_batches(path, SAMPLES):
        check_labels(path, line, pa.Table.from_batches([batch]), ("clk", "nonclk"))
        columns = {
            "user": batch["user"].to_numpy(),
            "time": batch["time_stamp"].to_numpy(),
            "click": batch["clk"].to_numpy(),
        }
        both = columns["click"] == batch["nonclk"].to_numpy()
        wrong_time = (columns["time"] < 1.4e9) | (columns["time"] > 1.6e9)
        if (both | wrong_time).any():
            place = int(np.argmax(both | wrong_time))
            problem = f"clk and nonclk are both {columns['click'][place]}"
            if wrong_time[place]:
                problem = (
                    f"the time_stamp is {columns['time'][place]}, expected seconds"
                )
            raise line_error(path, line + place, problem)
        columns["ad"] = tables.ads.places(batch["adgroup_id"].to_numpy())
        columns["profile"] = tables.users.places(columns["user"])
        columns["slot"] = tables.slot_numbers(batch["pid"])
        records = np.empty(batch.num_rows, list(_RECORD.items()))
        for name, values in columns.items():
            records[name] = values
        no_ad, no_user = records["ad"] < 0, records["profile"] < 0
        if not rules.keep_incomplete:
            conversion.drop("without_advertisement", int(no_ad.sum()))
            conversion.drop("without_profile", int((no_user & ~no_ad).sum()))
            records = records[~no_ad & ~no_user]
        elif no_ad.any():
            place = int(np.argmax(no_ad))
            raise line_error(
                path,
                line + place,
                f"ad_feature.csv has no adgroup_id {batch['adgroup_id'][place]}",
            )
        yield records


def _with_histories(
    impressions: Iterator[Records],
    log: Path,
    target: str | Path,
    rules: AdRules,
    conversion: Conversion,
) -> Iterator[tuple[Records, BucketHistories | None]]:
    """Yields the impressions of each bucket of users, and the users' behaviours."""
    with open_buckets(
        target, rules.buckets, impressions=_RECORD, behaviors=BEHAVIOR_RECORD
    ) as [rows, behaviors]:
        users = np.zeros(0, np.int64)
        for records in impressions:
            rows.add(**{name: records[name] for name in _RECORD})
            users = np.union1d(users, records["user"])
            conversion.advance(len(records), "raw_sample")
        set_behaviors_aside(log, users, behaviors, conversion)
        for records, done in zip(rows, behaviors, strict=True):
            yield records, BucketHistories(done, rules.history_length)


def _table(
    records: Records, tables: _Tables, histories: BucketHistories | None
) -> pa.Table:
    users = records["user"].astype(np.int64)
    times = records["time"].astype(np.int64) * 1_000
    profile = records["profile"].astype(np.int64)
    columns = {
        "timestamp_ms": pa.array(times),
        "user_id": pa.array(users),
        "pid": pa.array(tables.slots).take(pa.array(records["slot"])),
        "click": pa.array(records["click"]),
        **tables.ads.columns(records["ad"].astype(np.int64), AD_COLUMNS),
        **tables.users.columns(profile, PROFILE_COLUMNS),
    }
    if histories is not None:
        columns |= histories.columns(users, times)
    return pa.table(columns)
