"""Converts Avazu's click log: the split Avazu_x4, or the one file of the contest.

A line has an id, the label `click`, an hour as YYMMDDHH, and 21 categories. The hour
becomes three categories (hour of the day, weekday, whether it is a weekend), as in the
BARS benchmark, and a time in milliseconds.

Source: Avazu Click-Through Rate Prediction, 2014; Song et al., "AutoInt", CIKM 2019;
Zhu et al., "BARS-CTR", CIKM 2021.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from preprocessing.datasets.conversion import LogSettings
from preprocessing.datasets.delimited import Layout, line_error
from preprocessing.datasets.ready_splits import convert_ready_splits

__all__ = ["CATEGORIES", "LAYOUT", "PUBLISHED", "convert_avazu"]

PUBLISHED = {"train": 32_343_172, "validation": 4_042_897, "test": 4_042_898}

CATEGORIES = [
    *("C1", "banner_pos", "site_id", "site_domain", "site_category"),
    *("app_id", "app_domain", "app_category"),
    *("device_id", "device_ip", "device_model", "device_type", "device_conn_type"),
    *("C14", "C15", "C16", "C17", "C18", "C19", "C20", "C21"),
]

LAYOUT = Layout(
    of="a file of Avazu (id, click, hour and 21 categories)",
    types={
        "id": pa.string(),
        "click": pa.int8(),
        "hour": pa.int32(),
        **dict.fromkeys(CATEGORIES, pa.string()),
    },
)

_HOUR_MS = 3_600_000


def convert_avazu(
    source: str | Path, target: str | Path, settings: LogSettings
) -> dict[str, Any]:
    """Writes `target`/impressions-*.

    Args:
        source: the folder with train.csv, valid.csv and test.csv, plain or `.gz`; or
            the contest's train.csv, which is all of one split: its rows have
            `timestamp_ms` to split by.
        target: a folder that appears when it is complete.
        settings: how logs are written.

    Returns:
        Rows and label rates of each split.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    files = {"train": "train.csv", "validation": "valid.csv", "test": "test.csv"}
    published: dict[str, int] | None = PUBLISHED
    if Path(source).is_file():
        files = {"train": Path(source).name.removesuffix(".gz")}
        source, published = Path(source).parent, {"train": sum(PUBLISHED.values())}
    return convert_ready_splits(
        source,
        target,
        LAYOUT,
        files=files,
        labels=("click",),
        settings=settings,
        published=published,
        reshape=_with_times,
    )


def _with_times(path: Path, line: int, table: pa.Table) -> pa.Table:
    """Replaces `hour` by `timestamp_ms`, `hour`, `weekday` (Monday is 0), `weekend`."""
    written = table["hour"].to_numpy().astype(np.int64)
    month, day, hour = written // 10_000 % 100, written // 100 % 100, written % 100
    year = 2000 + written // 1_000_000
    months = (year - 1970) * 12 + month - 1
    days = months.astype("M8[M]").astype("M8[D]") + (day - 1).astype("m8[D]")
    # Of a day that does not exist, another month comes out.
    wrong = (days.astype("M8[M]") != months.astype("M8[M]")) | (hour > 23)
    wrong |= (month < 1) | (month > 12) | (written < 0)
    if wrong.any():
        place = int(wrong.argmax())
        raise line_error(
            path,
            line + place,
            f"the hour is {written[place]}, expected YYMMDDHH such as 14102100",
        )
    since = days.astype(np.int64)
    weekday = (since + 3) % 7  # 1970-01-01 was a Thursday
    place = table.schema.get_field_index("hour")
    table = table.set_column(
        place, "timestamp_ms", pa.array((since * 24 + hour) * _HOUR_MS)
    )
    parts = {"hour": hour, "weekday": weekday, "weekend": weekday >= 5}
    for offset, (name, values) in enumerate(parts.items(), 1):
        table = table.add_column(place + offset, name, pa.array(values.astype("i8")))
    return table
