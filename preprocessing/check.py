"""Checks that an example set is whole."""

from pathlib import Path

from configs.distributions import read_distributions
from configs.errors import DataError
from configs.manifest import (
    GOLDEN_EXAMPLES,
    GOLDEN_ROWS,
    Manifest,
    check_shards,
    read_manifest,
    read_statistics,
)
from preprocessing.carry_over import CARRY_OVER, read_carry_over
from preprocessing.tfrecord import read_records

__all__ = ["check_examples"]


def check_examples(folder: str | Path) -> Manifest:
    """Verifies the manifest, sizes, checksums and record counts of an example set, and
    what a daily run left to the day after.

    Raises:
        DataError: naming the first thing that is not as the manifest says.
    """
    manifest = read_manifest(folder)
    read_statistics(folder)
    read_distributions(folder)
    for name, split in manifest.splits.items():
        check_shards(folder, split, deep=True)
        for shard in split.shards:
            found = sum(1 for _ in read_records(Path(folder) / shard.path))
            if found != shard.rows:
                raise DataError(
                    f"{folder}/{shard.path} has {found} records, the manifest says"
                    f" {shard.rows}. Run preprocessing again"
                )
        if sum(shard.rows for shard in split.shards) != split.rows:
            raise DataError(
                f"{folder}: the shards of {name} do not add up to {split.rows} rows:"
                " the manifest is damaged. Run preprocessing again"
            )
    if manifest.golden_rows:
        _check_golden(Path(folder), manifest.golden_rows)
    carried = Path(folder) / CARRY_OVER
    # Of older days it was removed (preprocessing.daily.keep_carry_overs).
    if carried.exists() and read_carry_over(carried) != manifest.carry_over:
        raise DataError(
            f"{carried} is not the one that the manifest names: it was changed. Make"
            " that day again (--days, --overwrite)"
        )
    return manifest


def _check_golden(folder: Path, expected: int) -> None:
    try:
        encoded = sum(1 for _ in read_records(folder / GOLDEN_EXAMPLES))
        # By line feeds alone: text may hold U+2028 and others that splitlines() obeys.
        raw = (folder / GOLDEN_ROWS).read_bytes().count(b"\n")
    except OSError as error:
        raise DataError(
            f"{folder}: the golden rows are missing ({error}). Run preprocessing again"
        ) from error
    if (encoded, raw) != (expected, expected):
        raise DataError(
            f"{folder}: {encoded} golden examples and {raw} golden rows, the manifest"
            f" says {expected}. Run preprocessing again"
        )
