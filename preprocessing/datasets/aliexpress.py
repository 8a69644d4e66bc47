"""Converts AliExpress's search logs of one country, as MTReclib publishes them.

Two files, train.csv and test.csv, with the header search_id, categorical_1..16,
numerical_1..63, click, conversion. There is no validation split: the published figures
chose the epoch on the test rows. `validation_share` of the searches can be set aside.

Source: Li et al., "Improving Multi-Scenario Learning to Rank in E-commerce by
Exploiting Task Relationships in the Label Space", CIKM 2020; Zhu et al., "Learning to
Expand Audience via Meta Hybrid Experts and Critics", KDD 2021.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from configs.errors import DataError
from preprocessing.datasets.conversion import (
    LogSettings,
    check_labels,
    open_conversion,
)
from preprocessing.datasets.delimited import Layout, file_in, line_error, read_batches
from preprocessing.datasets.draws import uniform

__all__ = ["LAYOUT", "PUBLISHED_TOTALS", "convert_aliexpress"]

PUBLISHED_TOTALS = {"FR": 27_035_601, "NL": 17_717_195, "US": 27_392_613}
"""Rows of train.csv and test.csv together."""

LAYOUT = Layout(
    of="a file of AliExpress (search_id, 16 categories, 63 numbers, two labels)",
    types={
        "search_id": pa.int64(),
        **{f"categorical_{number}": pa.int64() for number in range(1, 17)},
        **{f"numerical_{number}": pa.float32() for number in range(1, 64)},
        "click": pa.int8(),
        "conversion": pa.int8(),
    },
)


def convert_aliexpress(
    source: str | Path,
    target: str | Path,
    settings: LogSettings,
    *,
    validation_share: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes `target`/impressions-*.

    Args:
        source: the folder of a country (AliExpress_NL, say) with train.csv and
            test.csv, plain or `.gz`.
        target: a folder that appears when it is complete.
        settings: how logs are written.
        validation_share: of the searches of train.csv, set aside for validation.
        seed: of that choice.

    Returns:
        Rows and label rates of each split.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    if not 0 <= validation_share < 1:
        raise DataError(
            f"the validation share is {validation_share}, expected 0 or more, below 1"
        )
    train, test = file_in(source, "train.csv"), file_in(source, "test.csv")
    labels = ("click", "conversion")
    result: dict[str, Any] = {}
    with open_conversion(target, settings, labels, result) as conversion:
        for path in (train, test):
            for line, batch in read_batches(path, LAYOUT):
                table = pa.Table.from_batches([batch])
                check_labels(path, line, table, labels)
                _check_order(path, line, table)
                if path is test or not validation_share:
                    conversion.write("test" if path is test else "train", table)
                    continue
                draws = uniform(seed, table["search_id"].to_numpy())
                aside = draws < validation_share
                conversion.write("train", table.filter(pa.array(~aside)))
                conversion.write("validation", table.filter(pa.array(aside)))
    return result


def _check_order(path: Path, line: int, table: pa.Table) -> None:
    converted = table["conversion"].to_numpy() > table["click"].to_numpy()
    if converted.any():
        raise line_error(
            path,
            line + int(np.argmax(converted)),
            "a conversion without a click",
        )
