"""Shared-Bottom, MMoE and PLE, with cross-entropy and with PWiseR, on e-mails.

Each seed cuts the rows anew: 60% train, 10% choose when to stop, 30% are scored. All
variants of a seed see the same cut, so differences between variants are paired.
"""

import csv
import gzip
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.experiment import pairstream
from benchmarks.quality.losses.rows import Split, read_split
from benchmarks.quality.models.store import Report, Store, Trial
from benchmarks.quality.models.trial import EarlyChoice, Rows, first_rows, run_trial
from configs.job import Job
from configs.loading import load_job

__all__ = ["LOSSES", "SYSTEMS", "HillstromStudy", "partition"]

JOB = "benchmarks/quality/models/hillstrom.yaml"

SYSTEMS: dict[str, dict[str, Any]] = {
    "Shared-Bottom": {
        "backbone": {"name": "dnn", "hidden": [64]},
        "multi_task": {"name": "shared_bottom", "tower": [32]},
    },
    "MMoE": {
        "backbone": {"name": "flat"},
        "multi_task": {"name": "mmoe", "experts": 4, "expert": [64], "tower": [32]},
    },
    "PLE": {
        "backbone": {"name": "flat"},
        "multi_task": {
            "name": "ple",
            "layers": 1,
            "shared_experts": 2,
            "task_experts": 2,
            "expert": [64],
            "tower": [32],
        },
    },
}

LOSSES: dict[str, tuple[float, float, float] | None] = {
    "bce": None,
    "pwiser 0.3, 0.3, 0.1": (0.3, 0.3, 0.1),
    "pwiser 0.3, 0.1, 0.3": (0.3, 0.1, 0.3),
    "pwiser 0.1, 0.3, 0.3": (0.1, 0.3, 0.3),
}
"""Strength, margin over clicked rows, margin over rows not clicked. The paper has the
values 0.3, 0.3 and 0.1; which is which is not legible."""

_CHOICE = EarlyChoice(every=25, patience=8)
_SHARES = 0.6, 0.7
"""Rows up to the first share train, from there to the second they choose."""


@dataclass(frozen=True, kw_only=True)
class HillstromStudy:
    """All systems with all losses.

    Attributes:
        folder: of the rows and the example set.
        source: hillstrom.csv.gz.
        store: of the results.
        seeds: cuts of the rows.
        most: rows read, for a quick look.
    """

    folder: Path
    source: Path
    store: Store
    seeds: int = 5
    most: int | None = None
    _held: list[Split] = field(default_factory=list, repr=False)

    def run(self) -> list[str]:
        """Runs what is missing; returns the names of trials that failed."""
        trials: dict[str, Trial] = {
            f"{trial_name(system, loss)}-seed{seed}": partial(
                self._trial, system, loss, seed
            )
            for seed in range(self.seeds)
            for system in SYSTEMS
            for loss in LOSSES
        }
        return self.store.run(trials, title="hillstrom")

    def _trial(self, system: str, loss: str, seed: int) -> Report:
        job = job_of(system, loss, seed)
        report, _ = run_trial(job, self._examples(), self._rows(seed), _CHOICE)
        return report

    def _examples(self) -> Path:
        rows, examples = self.folder / "hillstrom.csv", self.folder / "hillstrom"
        if not rows.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            number_lines(self.source, rows)
        if not examples.exists():
            settings = [f"data.impressions.path={rows}", f"data.examples={examples}"]
            options = [word for item in settings for word in ("--set", item)]
            pairstream("preprocessing", "run", JOB, *options)
        return examples

    def _rows(self, seed: int) -> Rows:
        if not self._held:
            split = read_split(self._examples(), "train", load_job(JOB))
            self._held.append(first_rows(split, self.most))
        return partition(self._held[0], seed)


def job_of(system: str, loss: str, seed: int) -> Job:
    """Returns the job of a trial."""
    settings = [
        f"model.{place}={json.dumps(value)}" for place, value in SYSTEMS[system].items()
    ]
    values = LOSSES[loss]
    if values is not None:
        names = ("strength", "conversion_margin", "click_margin")
        section = {"name": "pwiser", "conversion": "conversion"}
        section |= dict(zip(names, values, strict=True))
        settings.append(f"model.tasks.click.losses={json.dumps([section])}")
    return load_job(JOB, [*settings, f"training.seed={seed}"])


def partition(split: Split, seed: int) -> Rows:
    """Cuts rows at random into those that train, choose and are scored."""
    order = np.random.default_rng(seed).permutation(split.rows)
    borders = [round(share * split.rows) for share in _SHARES]
    parts = np.split(order, borders)
    train, validation, test = (
        Split({key: values[rows] for key, values in split.columns.items()})
        for rows in parts
    )
    return Rows(train=train, validation=validation, test=test)


def number_lines(source: Path, target: Path) -> None:
    """Copies a CSV file with a column `row` in front, the number of the line from 0."""
    with (
        gzip.open(source, "rt", encoding="utf-8", newline="") as lines,
        open(target, "w", encoding="utf-8", newline="") as file,
    ):
        reader, writer = csv.reader(lines), csv.writer(file)
        writer.writerow(["row", *next(reader)])
        writer.writerows([number, *line] for number, line in enumerate(reader))


def trial_name(system: str, loss: str) -> str:
    """Returns the name of the trials of a system with a loss, less the seed."""
    slug = f"{system}-{loss}".replace(", ", "-").replace(" ", "-").lower()
    return f"hillstrom/{slug}"
