"""Converts Criteo_x1, the split of Criteo's data that the BARS benchmark publishes.

Three files, train.csv, valid.csv and test.csv, with the header
label,I1,..,I13,C1,..,C26. The numbers are scaled already, and the categories are
numbers too; they stay texts, as nothing but their identity counts.

Source: Cheng et al., "Adaptive Factorization Network", AAAI 2020; Zhu et al., "BARS:
Towards Open Benchmarking for Recommender Systems", SIGIR 2022.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa

from preprocessing.datasets.conversion import LogSettings
from preprocessing.datasets.delimited import Layout
from preprocessing.datasets.ready_splits import convert_ready_splits

__all__ = ["LAYOUT", "PUBLISHED", "convert_criteo_x1"]

PUBLISHED = {"train": 33_003_326, "validation": 8_250_124, "test": 4_587_167}

LAYOUT = Layout(
    of="a file of Criteo_x1 (label, I1..I13, C1..C26)",
    types={
        "label": pa.float32(),
        **{f"I{number}": pa.float32() for number in range(1, 14)},
        **{f"C{number}": pa.string() for number in range(1, 27)},
    },
    nullable=tuple(f"I{number}" for number in range(1, 14)),
)


def convert_criteo_x1(
    source: str | Path, target: str | Path, settings: LogSettings
) -> dict[str, Any]:
    """Writes `target`/impressions-*.

    Args:
        source: the folder with train.csv, valid.csv and test.csv, plain or `.gz`.
        target: a folder that appears when it is complete.
        settings: how logs are written.

    Returns:
        Rows and label rates of each split.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    return convert_ready_splits(
        source,
        target,
        LAYOUT,
        files={"train": "train.csv", "validation": "valid.csv", "test": "test.csv"},
        labels=("label",),
        settings=settings,
        published=PUBLISHED,
        reshape=_integer_label,
    )


def _integer_label(path: Path, line: int, table: pa.Table) -> pa.Table:
    del path, line
    place = table.schema.get_field_index("label")
    return table.set_column(place, "label", table["label"].cast(pa.int8()))
