"""Runs the commands of Pairstream for a table of results, and averages over seeds."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Experiment", "pairstream", "spread", "table"]


def pairstream(*arguments: object) -> None:
    """Runs `python -m ARGUMENTS`; its output goes to stderr, and only if it fails."""
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Trains and scores variants of one job.

    Attributes:
        job: the job file.
        examples: example set to train on.
        folder: results go here; a variant that has one is not run again.
    """

    job: str
    examples: Path
    folder: Path

    def score(
        self, name: str, overrides: Sequence[str], *, split: str, seed: int = 0
    ) -> dict[str, Any]:
        """Trains with `overrides` and returns the report of `evaluate` on `split`, with
        `steps` and `seconds` of training added."""
        result = self.folder / f"{name}-seed{seed}-{split}.json"
        if not result.exists():
            self._run(name, overrides, split=split, seed=seed, result=result)
        report: dict[str, Any] = json.loads(result.read_text())
        metrics = next(iter(report["tasks"].values()))
        print(
            f"{name:32} seed {seed}  {split:10} AUC {metrics['auc']:.4f}  log loss"
            f" {metrics['log_loss']:.4f}  calibration {metrics['calibration']:.3f}"
            f"  step {report['step']:5}  {report['seconds']:.0f} s",
            flush=True,
        )
        return report

    def _run(
        self,
        name: str,
        overrides: Sequence[str],
        *,
        split: str,
        seed: int,
        result: Path,
    ) -> None:
        run = self.folder / "runs" / f"{name}-seed{seed}"
        settings = [f"data.run={run}", f"data.examples={self.examples}"]
        settings += [f"training.seed={seed}", *overrides]
        options = [word for item in settings for word in ("--set", item)]
        started = time.monotonic()
        pairstream("trainer", "train", self.job, "--overwrite", *options)
        seconds = time.monotonic() - started
        raw = result.with_suffix(".partial")
        pairstream(
            *("trainer", "evaluate", self.job, "--split", split, "--output", raw),
            *options,
        )
        report = {**json.loads(raw.read_text()), "seconds": seconds}
        raw.unlink()
        result.write_text(json.dumps({**report, "settings": settings}, indent=1))


def spread(values: Iterable[float | None], digits: int = 4) -> str:
    """Returns "mean ± standard deviation" over seeds."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return f"{statistics.mean(known):.{digits}f} ± {deviation:.{digits}f}"


def table(
    reports: Mapping[str, Sequence[Mapping[str, Any]]], task: str = "click"
) -> str:
    """Returns a Markdown table: a row for each variant, averaged over its reports."""
    lines = [
        "| variant | seeds | AUC | GAUC | log loss | calibration | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in reports.items():
        metrics = [run["tasks"][task] for run in runs]
        cells = [name, str(len(runs))]
        for metric in ("auc", "gauc", "log_loss"):
            cells.append(spread(m[metric] for m in metrics))
        cells.append(spread((m["calibration"] for m in metrics), 3))
        cells.append(spread((run["seconds"] for run in runs), 0))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
