"""Converts Ali-CCP: Alibaba's clicks and conversions, in two files for each split.

A line of the skeleton (sample_skeleton_train.csv) is an impression: its id, whether it
was clicked and bought, the index of its common features, and its own features. A line
of the common features (common_features_train.csv) has what many impressions share, such
as the user's profile. As in the published split, an impression that was bought but not
clicked is dropped, and a tenth of the training rows validates.

Source: Ma et al., "Entire Space Multi-Task Model", SIGIR 2018; Xi et al., "Modeling the
Sequential Dependence among Audience Multi-step Conversions", KDD 2021 (the split).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import DataError
from preprocessing.datasets.ali_ccp_features import (
    FeatureListError,
    parse_feature_lists,
)
from preprocessing.datasets.conversion import (
    Conversion,
    LogSettings,
    check_labels,
    open_conversion,
)
from preprocessing.datasets.delimited import Layout, file_in, line_error, read_batches
from preprocessing.datasets.draws import uniform

__all__ = ["FIELDS", "PUBLISHED_TOTAL", "convert_ali_ccp"]

FIELDS = (
    *("101", "121", "122", "124", "125", "126", "127", "128", "129"),
    *("205", "206", "207", "216", "508", "509", "702", "853", "301"),
)
"""Those of the published settings. 101 to 129 describe the user, 205 to 216 the item,
508 to 853 both, and 301 the context. Columns of the log are `field_101` and so on."""

PUBLISHED_TOTAL = 85_316_519
"""Lines of both skeletons together."""

_LABELS = ("click", "conversion")

_SKELETON = Layout(
    of="Ali-CCP's sample_skeleton (id, click, conversion, common features, number of"
    " features, features)",
    types={
        "sample": pa.int64(),
        "click": pa.int8(),
        "conversion": pa.int8(),
        "common": pa.string(),
        "count": pa.int64(),
        "features": pa.string(),
    },
    header=False,
)
_COMMON = Layout(
    of="Ali-CCP's common_features (index, number of features, features)",
    types={"common": pa.string(), "count": pa.int64(), "features": pa.string()},
    header=False,
    block_bytes=1 << 26,  # lines have thousands of features
)

Parsed = npt.NDArray[np.int32]


def convert_ali_ccp(
    source: str | Path,
    target: str | Path,
    settings: LogSettings,
    *,
    validation_share: float = 0.1,
    seed: int = 2020,
) -> dict[str, Any]:
    """Writes `target`/impressions-*.

    Memory is that of the common features of one split, about 100 bytes each (the
    published ones: 0.7 million), and of a block of impressions.

    Args:
        source: the folder with sample_skeleton_train.csv, common_features_train.csv,
            and the same of the test split, plain or `.gz`.
        target: a folder that appears when it is complete.
        settings: how logs are written.
        validation_share: of the training rows, set aside for validation.
        seed: of that choice.

    Returns:
        Rows and label rates of each split, and what was dropped.

    Raises:
        DataError: if a file is missing, or a line is not of the layout.
    """
    if not 0 <= validation_share < 1:
        raise DataError(
            f"the validation share is {validation_share}, expected 0 or more, below 1"
        )
    files = {
        split: [
            file_in(source, f"{name}_{split}.csv")
            for name in ("sample_skeleton", "common_features")
        ]
        for split in ("train", "test")
    }
    result: dict[str, Any] = {}
    with open_conversion(target, settings, _LABELS, result) as conversion:
        for split, (skeleton, common) in files.items():
            for line, table in _impressions(skeleton, common, conversion):
                if split == "test" or not validation_share:
                    conversion.write(split, table)
                    continue
                numbers = np.arange(line, line + table.num_rows, dtype=np.int64)
                aside = pa.array(uniform(seed, numbers) < validation_share)
                conversion.write("train", table.filter(pc.invert(aside)))
                conversion.write("validation", table.filter(aside))
    return result


def _impressions(
    skeleton: Path, common: Path, conversion: Conversion
) -> Iterator[tuple[int, pa.Table]]:
    """Yields the impressions of a split, with the number of the first one's line."""
    keys, shared = _common_features(common, conversion)
    for line, batch in read_batches(skeleton, _SKELETON):
        table = pa.Table.from_batches([batch])
        check_labels(skeleton, line, table, _LABELS)
        places = pc.index_in(batch["common"], value_set=keys)
        if places.null_count:
            place = pc.index(places.is_null(), True).as_py()
            raise line_error(
                skeleton,
                line + place,
                f"{common} has no common features {batch['common'][place].as_py()!r}",
            )
        own = _parse(skeleton, line, batch)
        # A field of both is the user's: the common features come last.
        both = shared[places.to_numpy()]
        both = np.where(both >= 0, both, own)
        columns = {
            "sample_id": batch["sample"],
            "click": batch["click"],
            "conversion": batch["conversion"],
            **{
                f"field_{name}": pa.array(both[:, k], mask=both[:, k] < 0)
                for k, name in enumerate(FIELDS)
            },
        }
        bought_only = pc.greater(batch["conversion"], batch["click"])
        conversion.drop("conversion_without_click", pc.sum(bought_only).as_py() or 0)
        yield line, pa.table(columns).filter(pc.invert(bought_only))


def _common_features(path: Path, conversion: Conversion) -> tuple[pa.Array, Parsed]:
    """Returns the indices of the common features, and the features [n, fields]."""
    keys, parsed = [], []
    for line, batch in read_batches(path, _COMMON):
        keys.append(batch["common"])
        parsed.append(_parse(path, line, batch))
        conversion.advance(batch.num_rows, path.name)
    together = pa.concat_arrays(keys)
    if len(pc.unique(together)) != len(together):
        raise DataError(
            f"{path} has common features twice under one index: expected each once."
            " Was the file put together from several?"
        )
    return together, np.concatenate(parsed)


def _parse(path: Path, line: int, batch: pa.RecordBatch) -> Parsed:
    counts = batch["count"].to_numpy()
    try:
        return parse_feature_lists(batch["features"], counts, FIELDS)
    except FeatureListError as error:
        raise line_error(path, line + error.row, str(error)) from error
