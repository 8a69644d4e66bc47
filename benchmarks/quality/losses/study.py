"""A data set on which losses are compared, and the trials on it."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.quality.losses.rows import Split, read_split
from benchmarks.quality.losses.trial import run_trial
from configs.job import Job
from configs.loading import load_job

__all__ = ["LOSSES", "Study"]

LOSSES = (
    "bce",
    "combined_pair",
    "combined_list",
    "rcr",
    "jrc",
    "focal",
    "focal_balanced",
    "combined_contrastive",
    "pwiser",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """One data set, one job, one weight of positives.

    Attributes:
        title: heading of the table.
        folder: of results; a trial that has one is not run again.
        examples: example set.
        job: job file.
        settings: overrides of the job.
        beta: weight of positives, in training and in the test's log loss.
        losses: names of those compared, with their default settings.
    """

    title: str
    folder: Path
    examples: Path
    job: str
    settings: tuple[str, ...] = ()
    beta: float = 1.0
    losses: Sequence[str] = LOSSES

    def job_of(self, loss: str, seed: int) -> Job:
        """Returns the job of a trial."""
        section = f"{{name: {loss}, beta: {self.beta}}}"
        if loss == "pwiser":
            section = section.replace("}", ", conversion: conversion}")
        settings = [
            *self.settings,
            f"model.tasks.click.losses=[{section}]",
            f"training.seed={seed}",
        ]
        if loss == "jrc":
            settings.append("model.tasks.click.head=two_logits")
        return load_job(self.job, settings)

    def split(self, name: str) -> Split:
        """Returns a split, in memory."""
        return read_split(self.examples, name, load_job(self.job, self.settings))

    def run(self, seeds: int) -> None:
        """Trains each loss with each seed; keeps the curves and the test's logits."""
        self.folder.mkdir(parents=True, exist_ok=True)
        todo = [
            (loss, seed)
            for seed in range(seeds)
            for loss in self.losses
            if not (self.folder / f"{loss}-{seed}.json").exists()
        ]
        if not todo:
            return
        training, test = self.split("train"), self.split("test")
        for loss, seed in tqdm(todo, desc=self.title):
            started = time.monotonic()
            curves, logits = run_trial(
                self.job_of(loss, seed), self.examples, training, test
            )
            report: dict[str, Any] = dataclasses.asdict(curves)
            report["seconds"] = time.monotonic() - started
            np.save(self.folder / f"{loss}-{seed}.npy", logits)
            (self.folder / f"{loss}-{seed}.json").write_text(json.dumps(report))
