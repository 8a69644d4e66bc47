"""Results of a study, one JSON file for each trial: what is there is not run again."""

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.publishing import write_text_atomically

__all__ = ["Report", "Store", "Trial"]

Report = dict[str, Any]
"""What a trial has found, as JSON can hold it."""

Trial = Callable[[], Report]


class Store:
    """A folder of results.

    Args:
        folder: made when the first result is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> Report | None:
        """Returns a result, or None if there is none yet."""
        path = self._path(name)
        if not path.exists():
            return None
        report: Report = json.loads(path.read_text("utf-8"))
        return report

    def seeds(self, name: str, seeds: int = 100) -> list[Report]:
        """Returns the results that there are of the first `seeds` seeds of a variant,
        without those that were refused."""
        found = [self.read(f"{name}-seed{seed}") for seed in range(seeds)]
        return [x for x in found if x is not None and "refused" not in x]

    def run(self, trials: Mapping[str, Trial], *, title: str) -> list[str]:
        """Runs the trials that have no result yet, and tells of each.

        A trial that fails is told of, and the others go on: a study of an hour is not
        to end for one of its lines.

        Returns:
            The names of those that failed.
        """
        todo = [name for name in trials if not self._path(name).exists()]
        failed = []
        for name in tqdm(todo, desc=title, file=sys.stderr, disable=not todo):
            started = time.monotonic()
            try:
                report = trials[name]()
            except Exception:
                traceback.print_exc()
                failed.append(name)
                continue
            report["seconds"] = time.monotonic() - started
            self._write(name, report)
            print(f"{name}: {_brief(report)}", flush=True)
        return failed

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _write(self, name: str, report: Report) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(report, indent=1) + "\n")


def _brief(report: Report) -> str:
    """Returns a line of a result."""
    parts = [f"{report['seconds']:.0f} s"]
    if "refused" in report:
        parts.append(f"refused: {report['refused'][:200]}")
    for task, values in report.get("test", {}).items():
        shown: Sequence[str] = [f"{n} {values[n]:.4f}" for n in ("auc", "log_loss")]
        parts.append(f"{task} {', '.join(shown)}")
    return "; ".join(parts)
