"""The papers' models on real data: one command a table, and one that reports.

    python -m benchmarks.quality.models criteo --data ../shared/data
    python -m benchmarks.quality.models hillstrom --data ../shared/data
    python -m benchmarks.quality.models weights --data ../shared/data
    python -m benchmarks.quality.models backbones --data ../shared/data
    python -m benchmarks.quality.models times --data ../shared/data
    python -m benchmarks.quality.models keep --data ../shared/data
    python -m benchmarks.quality.models report

`--data` names the folder with the public logs. Each finished training is a file in
`--folder`: what is there is not run again, so a study that was ended goes on. `weights`
chooses the weights that the three after it use, so it comes first. `report` writes
RESULTS.md and the plots of whatever there is.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.quality.criteo import prepare
from benchmarks.quality.models.criteo import CriteoStudy
from benchmarks.quality.models.globo import GloboStudy
from benchmarks.quality.models.hillstrom import HillstromStudy
from benchmarks.quality.models.report import write_report
from benchmarks.quality.models.store import Store

TABLES = ("criteo", "hillstrom", "weights", "backbones", "times", "keep", "report")


def main() -> None:
    """Runs what is missing of a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path("data/models"))
    parser.add_argument("--results", type=Path, help="FOLDER/results unless given")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--only", nargs="*", default=[], help="names of backbones")
    parser.add_argument("--rows", type=int, help="of each split, for a quick look")
    arguments = parser.parse_args()
    results = arguments.results or arguments.folder / "results"
    if arguments.table == "report":
        print(write_report(Store(results), arguments.folder))
        return
    failed = run(arguments, Store(results))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def run(arguments: argparse.Namespace, store: Store) -> list[str]:
    """Runs a table; returns the names of trials that failed."""
    seeds = {} if arguments.seeds is None else {"seeds": arguments.seeds}
    folder, data, only = arguments.folder, arguments.data, tuple(arguments.only)
    if arguments.table == "criteo":
        prepare(data / "criteo_first80k" / "criteo_first80k.tsv.gz", folder / "criteo")
        return CriteoStudy(
            examples=folder / "criteo" / "examples",
            store=store,
            only=only,
            most=arguments.rows,
            **seeds,
        ).run()
    if arguments.table == "hillstrom":
        return HillstromStudy(
            folder=folder,
            source=data / "hillstrom" / "hillstrom.csv.gz",
            store=store,
            most=arguments.rows,
            **seeds,
        ).run()
    study = GloboStudy(
        folder=folder,
        source=data / "globo_clicks" / "globo_clicks.csv.gz",
        store=store,
        only=only,
        most=arguments.rows,
        **seeds,
    )
    tables = {
        "weights": study.run_weights,
        "backbones": study.run_backbones,
        "times": study.run_times,
        "keep": study.run_keep_rates,
    }
    return tables[arguments.table]()


if __name__ == "__main__":
    main()
