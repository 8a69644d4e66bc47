"""Backbones on Criteo's sample: stopped by validation rows, scored on test."""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.quality.criteo import JOB, optimizer
from benchmarks.quality.models.sections import (
    backbone_override,
    backbone_sections,
)
from benchmarks.quality.models.store import Report, Store, Trial
from benchmarks.quality.models.trial import EarlyChoice, Rows, run_trial
from configs.errors import JobError
from configs.loading import load_job

__all__ = ["CriteoStudy", "rate_of", "trial_name"]

DEEP_RATE, LINEAR_RATE = 0.01, 0.05
"""Learning rates of the tables, of backbones with hidden layers and of those without:
those that `benchmarks.quality.criteo` chose on validation rows for DCN V2 and for
logistic regression."""

_COMMON = {"hidden": [256, 128], "dropout": 0.5}
_CHOICE = EarlyChoice(every=25, patience=4)
_OWN_SETTINGS = {"logistic_regression": ["model.embedding_dim=1"]}
_PARTS = [[f"I{k}" for k in range(1, 14)], [f"C{k}" for k in range(1, 27)]]
_IPNN, _DCN_V2, _DNN = ({"name": n, **_COMMON} for n in ("ipnn", "dcn_v2", "dnn"))

FORMS: dict[str, dict[str, dict[str, Any]]] = {
    "gwpfm": {"gwpfm": {"parts": _PARTS}},
    "dcn_v2": {
        "dcn_v2, parallel": {"structure": "parallel"},
        "dcn_v2, stacked": {"structure": "stacked"},
        "dcn_v2, rank 32": {"rank": 32},
        "dcn_v2, 4 experts of rank 16": {"rank": 16, "experts": 4},
    },
    "masknet": {
        "masknet, serial": {"structure": "serial"},
        "masknet, parallel": {"structure": "parallel"},
    },
    "experts": {
        "experts, 2 sets": {
            "hidden": [128],
            "sets": [
                {"experts": [{"name": "gwpfm", "parts": _PARTS}, _IPNN]},
                {"dim": 10, "experts": [_DCN_V2, _DNN]},
            ],
        }
    },
}
"""Backbones that come in several forms, or need settings: these by the form's name."""


@dataclass(frozen=True, kw_only=True)
class CriteoStudy:
    """Every backbone of the registry, as far as it fits rows without sequences.

    Attributes:
        examples: example set that `benchmarks.quality.criteo` prepares.
        store: of the results.
        seeds: trainings of each form of each backbone.
        only: backbones' names; all unless given.
        most: rows read of each split, for a quick look.
    """

    examples: Path
    store: Store
    seeds: int = 3
    only: tuple[str, ...] = ()
    most: int | None = None

    @cached_property
    def rows(self) -> Rows:
        """The splits, read once."""
        return Rows.read(self.examples, load_job(JOB), self.most)

    def variants(self) -> dict[str, list[str]]:
        """Returns the overrides of each form of each backbone."""
        found = {}
        for name in backbone_sections():
            if self.only and name not in self.only:
                continue
            for form, own in FORMS.get(name, {name: {}}).items():
                override = backbone_override(name, _COMMON, **own)
                rates = optimizer("adagrad", rate_of(name), initial_accumulator=1e-6)
                found[form] = [*rates, override, *_OWN_SETTINGS.get(name, [])]
        return found

    def run(self) -> list[str]:
        """Runs what is missing; returns the names of trials that failed."""
        trials: dict[str, Trial] = {
            f"{trial_name(variant)}-seed{seed}": partial(self._run, settings, seed)
            for seed in range(self.seeds)
            for variant, settings in self.variants().items()
        }
        return self.store.run(trials, title="criteo")

    def _run(self, settings: list[str], seed: int) -> Report:
        try:
            job = load_job(JOB, [*settings, f"training.seed={seed}"])
            report, _ = run_trial(job, self.examples, self.rows, _CHOICE)
        except JobError as error:
            return {"refused": str(error)}
        return report


def trial_name(variant: str) -> str:
    """Returns the name of the trials of a form of a backbone, less the seed."""
    return f"criteo/{variant.replace(', ', '-').replace(' ', '_')}"


def rate_of(backbone: str) -> float:
    """Returns the learning rate of the tables."""
    fields = backbone_sections()[backbone].model_fields
    return DEEP_RATE if "hidden" in fields else LINEAR_RATE
