"""Vocabularies: thresholds and limits on the counts that preprocessing stored."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import DataError
from tests.trainer.example_sets import small_job
from trainer.vocabularies import make_vocabularies

COUNTS = {
    "item": {5: 3.0, 9: 2.0, 11: 1.0, 2: 0.5},
    "history.item": {9: 2.0, 7: 2.0, 2: 1.4999999, 30: 3.0},
}
"""Together: 5 has 3, 9 has 4, 11 has 1, 2 has 2 but for rounding, 7 has 2, 30 has 3."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "counts").mkdir()
    for name, counts in COUNTS.items():
        table = pa.table(
            {
                "fingerprint": pa.array(list(counts), pa.int64()),
                "count": pa.array(list(counts.values()), pa.float64()),
            }
        )
        pq.write_table(table, tmp_path / "counts" / f"{name}.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("vocabulary", "expected"),
    [
        ("{}", [2, 5, 7, 9, 11, 30]),
        ("{min_count: 2}", [2, 5, 7, 9, 30]),
        ("{min_count: 3}", [5, 9, 30]),
        ("{min_count: 5}", []),
        ("{max_size: 2}", [5, 9]),  # 30 is as frequent as 5
        ("{max_size: 3}", [5, 9, 30]),
        ("{min_count: 3, max_size: 9}", [5, 9, 30]),
        ("{min_count: 4, max_size: 2}", [9]),
    ],
)
def test_thresholds_on_counts_of_shared_tables(folder, vocabulary, expected):
    job = small_job(folder, f"features.item.embedding={{vocabulary: {vocabulary}}}")
    values = make_vocabularies(job, str(folder))
    assert list(values) == ["item"]
    assert values["item"].dtype == np.int64 and values["item"].tolist() == expected


def test_counts_that_are_gone_are_named(folder):
    (folder / "counts/history.item.parquet").unlink()
    with pytest.raises(
        DataError, match=r"counts of 'history\.item'.*run preprocessing"
    ):
        make_vocabularies(small_job(folder), str(folder))
