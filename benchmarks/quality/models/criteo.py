"""Backbones on Criteo's sample: settings chosen on validation rows, scored on test."""

from collections.abc import Mapping
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

__all__ = ["RATES", "CriteoStudy"]

RATES = (0.01, 0.04)
"""Learning rates of the tables, of which validation rows choose one for each backbone,
with the first seed."""

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
        seeds: trainings of each backbone with the chosen rate.
        only: backbones' names; all unless given.
        most: rows read of each split, for a quick look.
        settings: further overrides.
    """

    examples: Path
    store: Store
    seeds: int = 3
    only: tuple[str, ...] = ()
    most: int | None = None
    settings: tuple[str, ...] = ()

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
                found[form] = [override, *_OWN_SETTINGS.get(name, [])]
        return found

    def run(self) -> list[str]:
        """Runs what is missing; returns the names of trials that failed."""
        variants = self.variants()
        first = {
            trial_name(variant, rate, 0): self._trial(settings, rate, 0)
            for variant, settings in variants.items()
            for rate in RATES
        }
        failed = self.store.run(first, title="criteo, choosing")
        others = {}
        for seed in range(1, self.seeds):
            for variant, settings in variants.items():
                rate = chosen_rate(self.store, variant)
                if rate is not None:
                    name = trial_name(variant, rate, seed)
                    others[name] = self._trial(settings, rate, seed)
        return failed + self.store.run(others, title="criteo, seeds")

    def _trial(self, settings: list[str], rate: float, seed: int) -> Trial:
        return partial(self._run, settings, rate, seed)

    def _run(self, settings: list[str], rate: float, seed: int) -> Report:
        try:
            job = load_job(
                JOB,
                [
                    *optimizer("adagrad", rate, initial_accumulator=1e-6),
                    *settings,
                    *self.settings,
                    f"training.seed={seed}",
                ],
            )
            report, _ = run_trial(job, self.examples, self.rows, _CHOICE)
        except JobError as error:
            return {"refused": str(error)}
        return report


def trial_name(variant: str, rate: float, seed: int | None = None) -> str:
    """Returns the name of a trial, or without a seed that of all its seeds."""
    slug = variant.replace(", ", "-").replace(" ", "_")
    name = f"criteo/{slug}-rate{rate}"
    return name if seed is None else f"{name}-seed{seed}"


def chosen_rate(store: Store, variant: str) -> float | None:
    """Returns the rate with the lowest validation log loss of the first seed; None if
    the backbone does not fit, or a rate is missing."""
    losses = {}
    for rate in RATES:
        report = store.read(trial_name(variant, rate, 0))
        if report is None or "refused" in report:
            return None
        losses[rate] = _log_loss(report)
    return min(losses, key=lambda rate: losses[rate])


def _log_loss(report: Mapping[str, Report]) -> float:
    value: float = report["validation"]["click"]["log_loss"]
    return value
