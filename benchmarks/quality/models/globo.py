"""The auxiliary tasks on Globo's clicks, in order of time: three tables and two plots.

`weights`: DIN with UIM or NIP alone, at several weights. `backbones`: every sequence
backbone, and two that pool the sequence, without the tasks, with each and with both, at
the weights that validation rows chose. `times`: what the tasks add to a step. `keep`:
DIN with negatives dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.quality.experiment import pairstream
from benchmarks.quality.globo import JOB, paths
from benchmarks.quality.models.cosines import cosine_report
from benchmarks.quality.models.sections import (
    backbone_override,
    backbone_sections,
    overridden,
)
from benchmarks.quality.models.store import Report, Store, Trial
from benchmarks.quality.models.timing import time_in_turns
from benchmarks.quality.models.trial import Rows, run_trial
from configs.errors import JobError
from configs.job import Job
from configs.loading import load_job
from configs.manifest import read_manifest

__all__ = [
    "KEEP_RATES",
    "TASKS",
    "WEIGHTS",
    "GloboStudy",
    "Variant",
    "chosen_weights",
]

BACKBONES = ("din", "dcn_v2", "dnn", "self_attention", "dien", "tin", "dbpman")
WEIGHTS = (0.003, 0.01, 0.03, 0.1)
KEEP_RATES = (0.1, 0.3, 0.5, 0.7, 1.0)
"""Those of the paper's table 5."""
TASKS = ("neither", "UIM", "NIP", "both")

PERIOD = ("--from", "2017-10-10", "--until", "2017-10-11", "--window", "1h")
_SPLIT = [
    "preprocessing.split.train={from: '2017-10-10T15:00', until: '2017-10-10T17:00'}"
]
_COMMON = {"hidden": [128, 64], "attention_hidden": [64, 32]}
_RATE = {"dense": 0.002, "embeddings": 0.006}


class Variant(NamedTuple):
    """A backbone with its auxiliary tasks, on negatives kept at a rate."""

    backbone: str
    uim: float = 0.0
    nip: float = 0.0
    keep: float = 1.0

    @property
    def name(self) -> str:
        """Name of its trials, less the seed."""
        parts = f"globo/{self.backbone}-uim{self.uim:g}-nip{self.nip:g}"
        return f"{parts}-keep{self.keep:g}"


@dataclass(frozen=True, kw_only=True)
class GloboStudy:
    """All trials on Globo's log.

    Attributes:
        folder: of logs and example sets.
        source: the click log.
        store: of the results.
        seeds: trainings of each variant.
        only: backbones' names; all unless given.
        most: rows read of each split, for a quick look.
    """

    folder: Path
    source: Path
    store: Store
    seeds: int = 3
    only: tuple[str, ...] = ()
    most: int | None = None
    _held: dict[float, Rows] = field(default_factory=dict, repr=False)

    def run_weights(self) -> list[str]:
        """Runs DIN with each task alone at each weight."""
        return self._run("weights", list(weight_variants()))

    def run_backbones(self) -> list[str]:
        """Runs backbones with the tasks at the chosen weights."""
        weights = chosen_weights(self.store)
        names = self._names()
        variants = [v for n in names for v in task_variants(n, *weights).values()]
        return self._run("backbones", variants)

    def run_times(self) -> list[str]:
        """Times backbones with and without the tasks, in turns."""
        weights = chosen_weights(self.store)
        trials: dict[str, Trial] = {
            f"globo-time/{name}": partial(self._time, task_variants(name, *weights))
            for name in self._names()
        }
        return self.store.run(trials, title="globo, times")

    def run_keep_rates(self) -> list[str]:
        """Runs DIN with and without both tasks on down-sampled training rows."""
        uim, nip = chosen_weights(self.store)
        variants = [
            Variant("din", *weights, keep=rate)
            for rate in KEEP_RATES
            for weights in ((0.0, 0.0), (uim, nip))
        ]
        return self._run("keep", variants)

    def job(self, variant: Variant, seed: int) -> Job:
        """Returns the job of a trial: both learning rates fall linearly to 0."""
        auxiliary = [
            {"name": name, "weight": weight}
            for name, weight in (("uim", variant.uim), ("nip", variant.nip))
            if weight
        ]
        settings = {"model.auxiliary": auxiliary, "training.seed": seed}
        steps = self._steps(variant.keep)
        for part, rate in _RATE.items():
            place = f"training.optimizer.{part}"
            fall = {"name": "linear", "decay_steps": steps}
            settings |= {f"{place}.learning_rate": rate, f"{place}.schedule": fall}
        return load_job(
            JOB,
            [
                *self._data_settings(variant.keep),
                backbone_override(variant.backbone, _COMMON),
                "model.tasks.click.losses=[{name: bce}]",
                *overridden(settings),
            ],
        )

    def examples(self, keep: float) -> Path:
        """Returns the example set of a keep rate, made unless it is there."""
        logs, target = self.folder / "globo-logs", self._examples(keep)
        if not logs.exists():
            pairstream("preprocessing", "convert", "globo", self.source, logs, *PERIOD)
        if not target.exists():
            options = [x for s in self._data_settings(keep) for x in ("--set", s)]
            files = paths(self.folder, logs.name, target.name)
            pairstream("preprocessing", "run", JOB, *files, *options)
        return target

    def _run(self, title: str, variants: list[Variant]) -> list[str]:
        """Runs the seeds one after another, so that a study that is ended has all
        variants."""
        failed = []
        for keep in sorted({variant.keep for variant in variants}):
            chosen = [variant for variant in variants if variant.keep == keep]
            trials: dict[str, Trial] = {
                f"{v.name}-seed{seed}": partial(self._trial, v, seed)
                for seed in range(self.seeds)
                for v in chosen
            }
            failed += self.store.run(trials, title=f"globo, {title}, kept {keep:g}")
        return failed

    def _trial(self, variant: Variant, seed: int) -> Report:
        examples = self.examples(variant.keep)
        try:
            job = self.job(variant, seed)
            rows = self._rows(variant.keep)
            report, assembly = run_trial(job, examples, rows)
        except JobError as error:
            return {"refused": str(error)}
        split = read_manifest(examples).splits["train"]
        report["storage_bytes"] = sum(shard.bytes for shard in split.shards)
        report["cosine"] = cosine_report(assembly.inference, rows.test)
        return report

    def _time(self, variants: dict[str, Variant]) -> Report:
        examples = self.examples(1.0)
        jobs = {tasks: self.job(variant, 0) for tasks, variant in variants.items()}
        return time_in_turns(jobs, examples, self._rows(1.0).train)

    def _names(self) -> list[str]:
        known = backbone_sections()
        return [n for n in BACKBONES if n in known and n in (self.only or BACKBONES)]

    def _rows(self, keep: float) -> Rows:
        if keep not in self._held:
            self._held.clear()  # one example set at a time
            job = self.job(Variant("din", keep=keep), 0)
            self._held[keep] = Rows.read(self.examples(keep), job, self.most)
        return self._held[keep]

    def _steps(self, keep: float) -> int:
        """Returns the steps of the one epoch."""
        rows = read_manifest(self.examples(keep)).splits["train"].rows
        return -(-min(rows, self.most or rows) // load_job(JOB).training.batch_size)

    def _examples(self, keep: float) -> Path:
        return self.folder / f"globo-examples-{keep:g}"

    def _data_settings(self, keep: float) -> list[str]:
        sampling = f"preprocessing.sampling.negative_keep_rate={keep}"
        return [*_SPLIT, *([sampling] if keep < 1.0 else [])]


def weight_variants() -> Iterator[Variant]:
    """Yields DIN without tasks, with UIM and with NIP at each weight."""
    yield Variant("din")
    for weight in WEIGHTS:
        yield Variant("din", uim=weight)
        yield Variant("din", nip=weight)


def task_variants(backbone: str, uim: float, nip: float) -> dict[str, Variant]:
    """Returns a backbone without tasks, with each and with both."""
    weights = ((0.0, 0.0), (uim, 0.0), (0.0, nip), (uim, nip))
    pairs = zip(TASKS, weights, strict=True)
    return {tasks: Variant(backbone, *pair) for tasks, pair in pairs}


def chosen_weights(store: Store) -> tuple[float, float]:
    """Returns the weights of UIM and of NIP with the lowest validation log loss of DIN
    with the first seed, each task alone.

    Raises:
        SystemExit: if the weights have not been tried.
    """
    best = []
    for kind in ("uim", "nip"):
        losses = {}
        for weight in WEIGHTS:
            name = f"{Variant('din', **{kind: weight}).name}-seed0"
            report = store.read(name)
            if report is None:
                raise SystemExit(
                    f"no {name} in {store.folder}: run the table 'weights' first, for"
                    " it chooses the weights"
                )
            losses[weight] = report["validation"]["click"]["log_loss"]
        best.append(min(losses, key=lambda weight: losses[weight]))
    return best[0], best[1]
