"""What is known of an example set without reading its examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from configs.distributions import Distributions, read_distributions
from configs.drift import Drift
from configs.errors import DataError
from configs.features import embedded_features
from configs.job import Job
from configs.loading import load_job
from configs.manifest import (
    JOB_FILE,
    MANIFEST_FILE,
    Manifest,
    Statistics,
    counts_file,
    read_manifest,
    read_statistics,
)
from preprocessing.comparison.distances import Counts

__all__ = ["MISSING_FINGERPRINT", "ExampleSet", "find_sets"]

MISSING_FINGERPRINT = 1936946117179621456
"""Fingerprint of the empty text, which missing values have."""


@dataclass(frozen=True)
class ExampleSet:
    """An example set.

    Attributes:
        folder: that it lies in.
        manifest: of the set.
        statistics: of its numeric inputs.
        distributions: None in sets from before they were written.
    """

    folder: Path
    manifest: Manifest
    statistics: Statistics
    distributions: Distributions | None

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @cached_property
    def job(self) -> Job:
        """The job that made it."""
        return load_job(self.folder / JOB_FILE)

    @property
    def drift(self) -> Drift:
        """The limits of the job that made it."""
        return self.job.preprocessing.drift

    @cached_property
    def categorical(self) -> list[str]:
        """Names of the inputs whose values were counted, in the order of the job."""
        names = [name for name, _ in embedded_features(self.job.features)]
        return [n for n in names if (self.folder / counts_file(n)).is_file()]

    def counts(self, name: str) -> Counts:
        """Returns the values of an input."""
        path = self.folder / counts_file(name)
        try:
            table = pq.read_table(path)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read: {error}. Run preprocessing again"
            ) from error
        values = table["fingerprint"].to_numpy()
        weights = table["count"].to_numpy()
        missing = values == MISSING_FINGERPRINT
        return Counts(
            values[~missing], weights[~missing], float(weights[missing].sum())
        )

    @property
    def training_rows(self) -> float:
        """Rows of the training split, before sampling."""
        if self.distributions is not None:
            return self.distributions.weight
        train = self.manifest.splits["train"]
        return float(train.rows + train.dropped)

    def label_rates(self) -> dict[str, float]:
        """Returns the share of the training rows with label 1, before sampling."""
        found = self.distributions
        if found is not None:
            counts = found.labels
        else:
            positives = self.manifest.splits["train"].positives
            counts = {name: float(count) for name, count in positives.items()}
        rows = max(self.training_rows, 1e-300)
        return {name: count / rows for name, count in counts.items()}

    @classmethod
    def read(cls, folder: str | Path) -> "ExampleSet":
        """Reads a set.

        Raises:
            DataError: if there is none, or it is damaged.
        """
        return cls(
            Path(folder),
            read_manifest(folder),
            read_statistics(folder),
            read_distributions(folder),
        )


def find_sets(folders: Sequence[str | Path]) -> list[ExampleSet]:
    """Returns example sets in the order given; of a folder of sets those inside, by
    name.

    Raises:
        DataError: if there are fewer than two, or a folder holds none.
    """
    found: list[Path] = []
    for given in map(Path, folders):
        if (given / MANIFEST_FILE).is_file():
            found.append(given)
            continue
        inside = sorted(path.parent for path in given.glob(f"*/{MANIFEST_FILE}"))
        inside = [path for path in inside if not path.name.startswith(".")]
        if not inside:
            raise DataError(
                f"{given} is no example set, and no folder of example sets: it has no"
                f" {MANIFEST_FILE}, nor has a folder in it"
            )
        found += inside
    if len(found) < 2:
        raise DataError(
            f"there is one example set, {found[0]}: expected two or more to compare, or"
            " a folder of several (days)"
        )
    return [ExampleSet.read(folder) for folder in found]
